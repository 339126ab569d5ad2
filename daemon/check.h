/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The core of `holdfast check`: what a configuration says, once it is read. */
#ifndef HOLDFAST_CHECK_H
#define HOLDFAST_CHECK_H

#include "conf.h"

#include <stdbool.h>
#include <stdio.h>

struct json_object;

/* All messages, a line each. -ENOMEM. */
int check_print_messages(const struct conf_messages *messages, FILE *out);

/* The rules as a table, for people. -ENOMEM, or -errno of the output. */
int check_print_rules(const struct config *config, FILE *out);

/*
 * Rules and messages in one object; config is NULL where there are errors. The
 * caller puts it away; NULL: out of memory.
 */
struct json_object *check_to_json(const struct config *config,
				  const struct conf_messages *messages);

#endif
