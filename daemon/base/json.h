/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Adds to json-c functions that report when memory runs out, and numbers of seconds. */
#ifndef HOLDFAST_BASE_JSON_H
#define HOLDFAST_BASE_JSON_H

#include <json-c/json_types.h>
#include <stdint.h>

/* Returns milliseconds as a number of seconds, an integer where they are whole seconds. The caller
 * owns it. NULL: out of memory. */
struct json_object *json_seconds(uint64_t ms);

/* Puts value under key, and hands it over to object. value is NULL where memory ran out. Returns 0;
 * or -ENOMEM, and value is freed. */
int json_put(struct json_object *object, const char *key, struct json_object *value);

/* Appends value to array; all else is as with json_put(). */
int json_append(struct json_object *array, struct json_object *value);

/* Returns object as text, laid out for reading. object owns the text. NULL: out of memory. */
const char *json_text(struct json_object *object);

/* Prints object to standard output, laid out for reading. Returns 0; or -ENOMEM, and nothing is
 * printed. */
int json_print(struct json_object *object);

#endif
