/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What json-c leaves out: functions that say when there is no memory, and seconds. */
#ifndef HOLDFAST_JSON_H
#define HOLDFAST_JSON_H

#include <json-c/json_types.h>
#include <stdint.h>

/* Milliseconds as a number of seconds, whole where it is. NULL: out of memory. */
struct json_object *json_seconds(uint64_t ms);

/* Puts value, which may be NULL for want of memory, under key. 0, -ENOMEM: value is gone then. */
int json_put(struct json_object *object, const char *key, struct json_object *value);

/* The same at the end of an array. */
int json_append(struct json_object *array, struct json_object *value);

/* All of it, laid out for reading; the object keeps it. NULL: out of memory. */
const char *json_text(struct json_object *object);

/* To standard output, laid out for reading. -ENOMEM: nothing is printed. */
int json_print(struct json_object *object);

#endif
