/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * show/ knows how findings look: tables, JSON, Prometheus text.
 * It calls sockets/ and what is below it.
 */

/* Shows `holdfast status`, as a table or as JSON. */
#ifndef HOLDFAST_SHOW_STATUS_H
#define HOLDFAST_SHOW_STATUS_H

#include "base/json_stream.h"
#include "sockets/filter.h"
#include "sockets/snapshot.h"

#include <stdio.h>

/* Prints the sockets that pass the filter as JSON. Returns 0 or -ENOMEM. */
int status_json(const struct snapshot *snapshot, const struct filter *filter, FILE *out);

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
	/* Of a preview only. */
	COLUMN_WOULD_KEEPALIVE,
	COLUMN_WOULD_TIME,
	COLUMN_WOULD_INTERVAL,
	COLUMN_WOULD_PROBES,
	COLUMN_WOULD_USER_TIMEOUT,
	N_COLUMNS,
};

/* Formats one cell of the table. Every cell fits into STATUS_CELL_MAX bytes. */
#define STATUS_CELL_MAX 4096
void status_cell(char *text, size_t size, const struct snapshot_socket *socket,
		 enum status_column column);

/* Prints the members of a socket's object in the `sockets` array. */
void status_socket_print(struct json_stream *json, const struct snapshot_socket *socket);

/*
 * Prints the rules with what they have learned and how many sockets they match. 0 or -ENOMEM: the
 * document is left open then.
 */
int status_rules_print(struct json_stream *json, const struct snapshot *snapshot);

struct status_columns {
	int *ids; /* owned */
	size_t n;
};

/*
 * Parses a comma-separated list of column names. A leading + adds the columns to the default ones;
 * NULL: the default ones. `preview`: those of a preview, by default and at all. Returns 0 and
 * columns for status_columns_free(), -EINVAL if there is no such column, or -ENOMEM.
 */
int status_columns_parse(const char *list, bool preview, struct status_columns *columns,
			 struct error *e);
void status_columns_free(struct status_columns *columns);

/* Prints the sockets that pass the filter as a table to standard output. Returns 0 or -ENOMEM. */
int status_table(const struct snapshot *snapshot, const struct filter *filter,
		 const struct status_columns *columns, bool headings, bool raw);

/* Prints the columns and what they mean, for --help. */
void status_columns_help(FILE *out, bool preview);

#endif
