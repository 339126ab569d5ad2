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

#endif
