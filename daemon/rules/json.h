/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes rules as `status -J`, `check -J` and `explain -J` show them. */
#ifndef HOLDFAST_RULES_JSON_H
#define HOLDFAST_RULES_JSON_H

#include "rules/rules.h"

#include <json-c/json_types.h>

/*
 * Returns a rule as an object of the `rules` array, without "sockets", which only `status` knows.
 * The caller owns it. NULL: out of memory.
 */
struct json_object *rule_to_json(const struct rule *rule);

#endif
