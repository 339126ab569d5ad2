/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rules as `status -J`, `check -J` and `explain -J` show them. */
#ifndef HOLDFAST_RULES_JSON_H
#define HOLDFAST_RULES_JSON_H

#include "rules.h"

#include <json-c/json_types.h>

/*
 * One object of the `rules` array, all but "sockets", which only status knows.
 * The caller puts it away; NULL: out of memory.
 */
struct json_object *rule_to_json(const struct rule *rule);

/* Milliseconds as a number of seconds, whole where it is. NULL: out of memory. */
struct json_object *json_seconds(uint64_t ms);

/* Puts value, which may be NULL for want of memory, under key. 0, -ENOMEM: value is gone then. */
int json_put(struct json_object *object, const char *key, struct json_object *value);

/* All of it, laid out for reading; the object keeps it. NULL: out of memory. */
const char *json_text(struct json_object *object);

/* To standard output, laid out for reading. -ENOMEM: nothing is printed. */
int json_print(struct json_object *object);

#endif
