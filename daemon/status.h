/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two shapes of `holdfast status`. */
#ifndef HOLDFAST_STATUS_H
#define HOLDFAST_STATUS_H

#include "filter.h"
#include "json_out.h"
#include "snapshot.h"

#include <stdio.h>

/* Prints the JSON of the contract to standard output. -ENOMEM. */
int status_json(const struct snapshot *snapshot, const struct filter *filter);

enum status_column {
	COLUMN_VERDICT,
	COLUMN_RULE,
	COLUMN_SIDE,
	COLUMN_FAMILY,
	COLUMN_LOCAL,
	COLUMN_PEER,
	COLUMN_LOCAL_PORT,
	COLUMN_PEER_PORT,
	COLUMN_KEEPALIVE,
	COLUMN_TIME,
	COLUMN_INTERVAL,
	COLUMN_PROBES,
	COLUMN_USER_TIMEOUT,
	COLUMN_IDLE,
	COLUMN_NEXT_PROBE,
	COLUMN_UNANSWERED,
	COLUMN_WINDOW,
	COLUMN_MARGIN,
	COLUMN_NETNS,
	COLUMN_CGROUP,
	COLUMN_INODE,
	COLUMN_COOKIE,
	COLUMN_PROCESSES,
	N_COLUMNS,
};

/* One cell of the table. size: STATUS_CELL_MAX holds them all. */
#define STATUS_CELL_MAX 4096
void status_cell(char *text, size_t size, const struct snapshot_socket *socket,
		 enum status_column column);

/* The members of an object of the `sockets` array. */
void status_socket_print(struct json_out *json, const struct snapshot_socket *socket);

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
