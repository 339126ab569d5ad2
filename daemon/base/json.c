// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

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

int json_append(struct json_object *array, struct json_object *value)
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

/* Returns whether the text closes all brackets and strings. Where memory runs out, json-c cuts a
 * text short and doesn't say so. */
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

	/* Format twice and compare the lengths: where memory ran out, a piece may be missing in
	 * the middle. The second time the buffer is large enough already. */
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
