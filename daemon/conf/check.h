/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints a configuration and its messages: the core of `holdfast check`. */
#ifndef HOLDFAST_CONF_CHECK_H
#define HOLDFAST_CONF_CHECK_H

#include "conf/conf.h"

#include <stdbool.h>
#include <stdio.h>

struct json_object;

/* Prints all messages, one per line. Returns 0 or -ENOMEM. */
int check_print_messages(const struct conf_messages *messages, FILE *out);

/* Prints the rules as a table. Returns 0, -ENOMEM, or the negative errno of the output. */
int check_print_rules(const struct config *config, FILE *out);

/*
 * Returns rules and messages as one JSON object, which the caller owns. config is NULL where there
 * are errors. NULL: out of memory.
 */
struct json_object *check_to_json(const struct config *config,
				  const struct conf_messages *messages);

#endif
