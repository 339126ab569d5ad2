// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/json.h"

#include "base/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

static struct json_object *destinations_to_json(const struct rule *rule)
{
	struct json_object *array = json_object_new_array();
	char text[PREFIX_TEXT_MAX];
	size_t i;

	for (i = 0; array && i < rule->n_destinations; i++) {
		const char *word = destination_text(&rule->destinations[i], text);

		if (json_append(array, json_object_new_string(word))) {
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
		if (json_append(array, value)) {
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

static int put_window(struct json_object *object, uint64_t ms)
{
	if (ms)
		return json_put(object, "window", json_seconds(ms));
	return json_object_object_add(object, "window", NULL) ? -ENOMEM : 0;
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
	    put_window(o, rule->window_ms) ||
	    json_put(o, "window_auto", json_object_new_boolean(!rule->window_ms)) ||
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
