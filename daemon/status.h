/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two shapes of `holdfast status`. */
#ifndef HOLDFAST_STATUS_H
#define HOLDFAST_STATUS_H

#include "filter.h"
#include "snapshot.h"

#include <stdio.h>

/* Prints the JSON of the contract to standard output. -ENOMEM. */
int status_json(const struct snapshot *snapshot, const struct filter *filter);

struct status_columns {
	int *ids; /* owned */
	size_t n;
};

/* `list`: names, comma separated; a leading + adds to the default ones; NULL: those. */
int status_columns_parse(const char *list, struct status_columns *columns, struct error *e);
void status_columns_free(struct status_columns *columns);

/* Prints the table to standard output. -ENOMEM. */
int status_table(const struct snapshot *snapshot, const struct filter *filter,
		 const struct status_columns *columns, bool headings, bool raw);

/* The columns and what they mean, for --help. */
void status_columns_help(FILE *out);

#endif
