/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values of the configuration. Each function reads all of text, which has no
 * blanks around it, and returns 0, -ENOMEM, or -EINVAL with a sentence that says
 * what is wrong and, in parentheses, what to write instead.
 */
#ifndef HOLDFAST_CONF_VALUE_H
#define HOLDFAST_CONF_VALUE_H

#include "rules.h"

int value_yes_no(const char *text, bool *value, struct error *e);

int value_number(const char *text, unsigned min, unsigned max, unsigned *value, struct error *e);

/* whole: in whole seconds only. Limits in ms. */
int value_duration(const char *text, uint64_t min, uint64_t max, bool whole, uint64_t *ms,
		   struct error *e);

/* One of the words; *index is its place. */
int value_word(const char *text, const char *const *words, size_t n, unsigned *index,
	       struct error *e);

/* "3306" or "33060-33062". */
int value_port_range(const char *text, struct port_range *range, struct error *e);

/* `any`, an address, a prefix or a host name. */
int value_destination(const char *text, struct destination *destination, struct error *e);

/* An address or a prefix; IPv4-mapped becomes IPv4. */
int value_prefix(const char *text, struct prefix *prefix, struct error *e);

/* `off`, which is NULL, or where node_exporter may find it. *path, in whose place it comes, is
 * owned. */
int value_textfile(const char *text, char **path, struct error *e);

/*
 * The next element of a comma separated list, without blanks around it, cut off
 * in place; *list moves on, to NULL behind the last. NULL: there is none.
 */
char *value_next_element(char **list);

/* Sorts the ranges, and merges those that touch or overlap; returns how many are left. */
size_t value_merge_ports(struct port_range *ranges, size_t n);

#endif
