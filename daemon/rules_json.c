// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules_json.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int json_put(struct json_object *object, const char *key, struct json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_object_add(object, key, value)) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

static int append(struct json_object *array, struct json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_array_add(array, value)) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

struct json_object *json_seconds(uint64_t ms)
{
	char text[32];
	size_t len;

	if (ms % 1000 == 0)
		return json_object_new_int64((int64_t)(ms / 1000));
	len = (size_t)snprintf(text, sizeof(text), "%" PRIu64 ".%03u", ms / 1000,
			       (unsigned)(ms % 1000));
	while (text[len - 1] == '0')
		text[--len] = '\0';
	return json_object_new_double_s((double)ms / 1000, text);
}

static struct json_object *destinations_to_json(const struct rule *rule)
{
	struct json_object *array = json_object_new_array();
	char text[PREFIX_TEXT_MAX];
	size_t i;

	for (i = 0; array && i < rule->n_destinations; i++) {
		const char *word = destination_text(&rule->destinations[i], text);

		if (append(array, json_object_new_string(word))) {
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static struct json_object *ports_to_json(const struct rule *rule)
{
	struct json_object *array = json_object_new_array(), *value;
	char text[16];
	size_t i;

	for (i = 0; array && i < rule->n_ports; i++) {
		const struct port_range *range = &rule->ports[i];

		snprintf(text, sizeof(text), "%u-%u", range->first, range->last);
		value = range->first == range->last ? json_object_new_int(range->first)
						    : json_object_new_string(text);
		if (append(array, value)) {
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static int put_user_timeout(struct json_object *object, uint32_t ms)
{
	if (ms)
		return json_put(object, "user_timeout", json_object_new_int64(ms));
	return json_object_object_add(object, "user_timeout", NULL) ? -ENOMEM : 0;
}

struct json_object *rule_to_json(const struct rule *rule)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	if (json_put(o, "name", json_object_new_string(rule->name)) ||
	    json_put(o, "destination", destinations_to_json(rule)) ||
	    json_put(o, "port", ports_to_json(rule)) ||
	    json_put(o, "side", json_object_new_string(rule_side_name(rule->side))) ||
	    json_put(o, "window", json_seconds(rule->window_ms)) ||
	    json_put(o, "time", json_object_new_int(rule->time_s)) ||
	    json_put(o, "interval", json_object_new_int(rule->interval_s)) ||
	    json_put(o, "probes", json_object_new_int(rule->probes)) ||
	    put_user_timeout(o, rule->user_timeout_ms) ||
	    json_put(o, "override", json_object_new_string(rule_override_name(rule->override))) ||
	    json_put(o, "enforce", json_object_new_boolean(rule->enforce))) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

/* Brackets that close: json-c cuts a text short where memory runs out, and doesn't say so. */
static bool whole(const char *text)
{
	bool string = false;
	int depth = 0;

	for (; *text; text++) {
		if (string && *text == '\\' && text[1])
			text++;
		else if (*text == '"')
			string = !string;
		else if (!string && (*text == '{' || *text == '['))
			depth++;
		else if (!string && (*text == '}' || *text == ']'))
			depth--;
	}
	return !string && depth == 0;
}

const char *json_text(struct json_object *object)
{
	const int flags =
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;
	size_t length = 0, again = 0;
	const char *text;

	/* Twice, as a piece may be missing in the middle: the second time there is room already. */
	if (!json_object_to_json_string_length(object, flags, &length))
		return NULL;
	text = json_object_to_json_string_length(object, flags, &again);
	return text && length == again && whole(text) ? text : NULL;
}

int json_print(struct json_object *object)
{
	const char *text = json_text(object);

	if (!text)
		return -ENOMEM;
	puts(text);
	return 0;
}
