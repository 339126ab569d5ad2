// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include "address.h"
#include "conf_value.h"
#include "util.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <string.h>

/* Named as the keys of the JSON. */
static const struct {
	const char *name;
	int flags; /* SCOLS_FL_* */
	const char *help;
} known[N_COLUMNS] = {
	[COLUMN_VERDICT] = {"VERDICT", 0, "held, own, probing, exposed, closed, exempt"},
	[COLUMN_RULE] = {"RULE", 0, "the rule that matches"},
	[COLUMN_SIDE] = {"SIDE", 0, "client or server"},
	[COLUMN_FAMILY] = {"FAMILY", 0, "inet or inet6"},
	[COLUMN_LOCAL] = {"LOCAL", 0, "our address and port"},
	[COLUMN_PEER] = {"PEER", 0, "the other end's address and port"},
	[COLUMN_LOCAL_PORT] = {"LOCAL-PORT", SCOLS_FL_RIGHT, "our port"},
	[COLUMN_PEER_PORT] = {"PEER-PORT", SCOLS_FL_RIGHT, "the other end's port"},
	[COLUMN_KEEPALIVE] = {"KEEPALIVE", 0, "yes or no, as set on the socket"},
	[COLUMN_TIME] = {"TIME", SCOLS_FL_RIGHT, "keepalive time of the socket, seconds"},
	[COLUMN_INTERVAL] = {"INTERVAL", SCOLS_FL_RIGHT, "keepalive interval, seconds"},
	[COLUMN_PROBES] = {"PROBES", SCOLS_FL_RIGHT, "keepalive probes"},
	[COLUMN_USER_TIMEOUT] = {"USER-TIMEOUT", SCOLS_FL_RIGHT, "TCP_USER_TIMEOUT, milliseconds"},
	[COLUMN_IDLE] = {"IDLE", SCOLS_FL_RIGHT, "since a packet came from the peer, seconds"},
	[COLUMN_NEXT_PROBE] = {"NEXT-PROBE", SCOLS_FL_RIGHT, "until the next probe, seconds"},
	[COLUMN_UNANSWERED] = {"UNANSWERED", SCOLS_FL_RIGHT, "probes out and not answered"},
	[COLUMN_WINDOW] = {"WINDOW", SCOLS_FL_RIGHT, "the path forgets after, seconds"},
	[COLUMN_MARGIN] = {"MARGIN", SCOLS_FL_RIGHT, "window minus time, seconds"},
	[COLUMN_NETNS] = {"NETNS", SCOLS_FL_RIGHT, "inode of the network namespace"},
	[COLUMN_CGROUP] = {"CGROUP", 0, "control group"},
	[COLUMN_INODE] = {"INODE", SCOLS_FL_RIGHT, "inode of the socket"},
	[COLUMN_COOKIE] = {"COOKIE", SCOLS_FL_RIGHT, "the kernel's name for the socket"},
	[COLUMN_PROCESSES] = {"PROCESSES", 0, "command[pid]:fd of those that have it open"},
};

static const int by_default[] = {
	COLUMN_VERDICT, COLUMN_RULE,	   COLUMN_LOCAL,  COLUMN_PEER,	    COLUMN_TIME,
	COLUMN_IDLE,	COLUMN_NEXT_PROBE, COLUMN_WINDOW, COLUMN_PROCESSES,
};

/* Case and the kind of dash don't count: the JSON's keys are names too. */
static bool same_name(const char *name, const char *given)
{
	for (; *name && *given; name++, given++) {
		if (*name != (*given == '_' ? '-' : toupper((unsigned char)*given)))
			return false;
	}
	return *name == *given;
}

static int find_column(const char *name)
{
	int i;

	for (i = 0; i < N_COLUMNS; i++) {
		if (same_name(known[i].name, name))
			return i;
	}
	return -EINVAL;
}

int status_columns_parse(const char *list, struct status_columns *columns, struct error *e)
{
	_cleanup_free_ char *copy = NULL;
	char *rest, *name;
	size_t room;
	int id;

	room = ARRAY_SIZE(by_default) + (list ? strlen(list) : 0) + 1;
	*columns = (struct status_columns){.ids = calloc(room, sizeof(*columns->ids))};
	if (!columns->ids)
		return error_set(e, ENOMEM, "out of memory");
	if (!list || *list == '+') {
		memcpy(columns->ids, by_default, sizeof(by_default));
		columns->n = ARRAY_SIZE(by_default);
	}
	if (!list)
		return 0;
	rest = copy = strdup(*list == '+' ? list + 1 : list);
	while (copy && (name = value_next_element(&rest))) {
		id = find_column(name);
		if (id < 0) {
			status_columns_free(columns);
			return error_set(e, EINVAL, "no such column: '%s' (--help lists them)",
					 name);
		}
		columns->ids[columns->n++] = id;
	}
	return copy ? 0 : error_set(e, ENOMEM, "out of memory");
}

void status_columns_free(struct status_columns *columns)
{
	free(columns->ids);
	*columns = (struct status_columns){0};
}

void status_columns_help(FILE *out)
{
	int i;

	for (i = 0; i < N_COLUMNS; i++)
		fprintf(out, "  %-13s %s\n", known[i].name, known[i].help);
}

/* "43.2", "600": tenths only where there are any. */
static void seconds(char *text, size_t size, int64_t ms)
{
	int64_t tenths = (ms < 0 ? ms - 50 : ms + 50) / 100;

	if (tenths % 10)
		snprintf(text, size, "%s%" PRId64 ".%" PRId64, tenths < 0 ? "-" : "",
			 (tenths < 0 ? -tenths : tenths) / 10,
			 (tenths < 0 ? -tenths : tenths) % 10);
	else
		snprintf(text, size, "%" PRId64, tenths / 10);
}

static void processes(char *text, size_t size, const struct snapshot_socket *socket)
{
	size_t i, used = 0;

	text[0] = '\0';
	for (i = 0; i < socket->n_owners && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s[%d]:%u", i ? "," : "",
					 socket->owners[i].command, (int)socket->owners[i].pid,
					 socket->owners[i].fd);
}

void status_cell(char *text, size_t size, const struct snapshot_socket *socket,
		 enum status_column column)
{
	const struct diag_socket *diag = &socket->diag;
	int64_t next;

	switch (column) {
	case COLUMN_VERDICT:
		snprintf(text, size, "%s", verdict_name(socket->verdict));
		break;
	case COLUMN_RULE:
		snprintf(text, size, "%s", socket->rule->name);
		break;
	case COLUMN_SIDE:
		snprintf(text, size, "%s", socket->side == HF_SIDE_CLIENT ? "client" : "server");
		break;
	case COLUMN_FAMILY:
		snprintf(text, size, "%s", diag->family == 4 ? "inet" : "inet6");
		break;
	case COLUMN_LOCAL:
		endpoint_format(text, size, diag->family, diag->local, diag->local_port);
		break;
	case COLUMN_PEER:
		endpoint_format(text, size, diag->family, diag->peer, diag->peer_port);
		break;
	case COLUMN_LOCAL_PORT:
		snprintf(text, size, "%u", diag->local_port);
		break;
	case COLUMN_PEER_PORT:
		snprintf(text, size, "%u", diag->peer_port);
		break;
	case COLUMN_KEEPALIVE:
		snprintf(text, size, "%s", socket->now.on ? "yes" : "no");
		break;
	case COLUMN_TIME:
		snprintf(text, size, "%u", socket->now.time_s);
		break;
	case COLUMN_INTERVAL:
		snprintf(text, size, "%u", socket->now.interval_s);
		break;
	case COLUMN_PROBES:
		snprintf(text, size, "%u", socket->now.probes);
		break;
	case COLUMN_USER_TIMEOUT:
		snprintf(text, size, "%u", socket->now.user_timeout_ms);
		break;
	case COLUMN_IDLE:
		seconds(text, size, diag->idle_ms);
		break;
	case COLUMN_NEXT_PROBE:
		next = snapshot_next_probe_ms(socket);
		if (next < 0)
			snprintf(text, size, "-");
		else
			seconds(text, size, next);
		break;
	case COLUMN_UNANSWERED:
		snprintf(text, size, "%u", diag->unanswered);
		break;
	case COLUMN_WINDOW:
		seconds(text, size, (int64_t)socket->rule->window_ms);
		break;
	case COLUMN_MARGIN:
		seconds(text, size,
			(int64_t)socket->rule->window_ms - (int64_t)socket->now.time_s * 1000);
		break;
	case COLUMN_NETNS:
		snprintf(text, size, "%" PRIu64, socket->netns);
		break;
	case COLUMN_CGROUP:
		snprintf(text, size, "%s", socket->cgroup ? socket->cgroup : "-");
		break;
	case COLUMN_INODE:
		snprintf(text, size, "%u", diag->inode);
		break;
	case COLUMN_COOKIE:
		snprintf(text, size, "%" PRIu64, diag->cookie);
		break;
	case COLUMN_PROCESSES:
		processes(text, size, socket);
		break;
	case N_COLUMNS:
		break;
	}
}

static int add_line(struct libscols_table *table, const struct snapshot_socket *socket,
		    const struct status_columns *columns)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[STATUS_CELL_MAX];
	size_t i;

	if (!line)
		return -ENOMEM;
	for (i = 0; i < columns->n; i++) {
		status_cell(text, sizeof(text), socket, (enum status_column)columns->ids[i]);
		if (scols_line_set_data(line, i, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* libsmartcols prints nothing at all of a table without lines, which looks like a failure. */
static void print_headings(const struct status_columns *columns)
{
	size_t i;

	for (i = 0; i < columns->n; i++)
		printf("%s%s", i ? " " : "", known[columns->ids[i]].name);
	putchar('\n');
}

int status_table(const struct snapshot *snapshot, const struct filter *filter,
		 const struct status_columns *columns, bool headings, bool raw)
{
	struct libscols_table *table = scols_new_table();
	int err = table ? 0 : -ENOMEM;
	size_t i;

	if (!err) {
		scols_table_enable_noheadings(table, !headings);
		scols_table_enable_raw(table, raw);
	}
	for (i = 0; !err && i < columns->n; i++) {
		if (!scols_table_new_column(table, known[columns->ids[i]].name, 0,
					    known[columns->ids[i]].flags))
			err = -ENOMEM;
	}
	for (i = 0; !err && i < snapshot->n; i++) {
		if (filter_takes(filter, &snapshot->sockets[i]))
			err = add_line(table, &snapshot->sockets[i], columns);
	}
	if (!err && headings && !scols_table_get_nlines(table))
		print_headings(columns);
	else if (!err && scols_print_table(table) < 0)
		err = -ENOMEM;
	scols_unref_table(table);
	return err;
}
