/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parses values of the configuration. Each function parses all of text, which has no blanks around
 * it, and returns 0, -ENOMEM or -EINVAL. On failure e says what is wrong and, in parentheses, what
 * to write instead.
 */
#ifndef HOLDFAST_CONF_VALUE_H
#define HOLDFAST_CONF_VALUE_H

#include "rules/rules.h"

int value_yes_no(const char *text, bool *value, struct error *e);

int value_number(const char *text, unsigned min, unsigned max, unsigned *value, struct error *e);

/* whole: accepts only whole seconds. min and max are in ms. */
int value_duration(const char *text, uint64_t min, uint64_t max, bool whole, uint64_t *ms,
		   struct error *e);

/* Parses one of n words, and sets *index to its index in words. */
int value_word(const char *text, const char *const *words, size_t n, unsigned *index,
	       struct error *e);

/* Parses "3306" or "33060-33062". */
int value_port_range(const char *text, struct port_range *range, struct error *e);

/* Parses `any`, an address, a prefix or a host name. */
int value_destination(const char *text, struct destination *destination, struct error *e);

/* Parses an address or a prefix; IPv4-mapped IPv6 becomes IPv4. */
int value_prefix(const char *text, struct prefix *prefix, struct error *e);

/* Parses `off`, which becomes NULL, or an absolute path that ends in .prom, as node_exporter needs.
 * On success frees the old *path; the caller owns the new one. */
int value_textfile(const char *text, char **path, struct error *e);

/*
 * Returns the next element of a comma separated list, without blanks around it, or NULL if there is
 * none. Cuts it off in place, and moves *list on; after the last element *list is NULL.
 */
char *value_next_element(char **list);

/* Sorts the ranges, and merges those that touch or overlap. Returns how many are left. */
size_t value_merge_ports(struct port_range *ranges, size_t n);

#endif
