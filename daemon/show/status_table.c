// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/status.h"

#include "base/address.h"
#include "base/util.h"
#include "conf/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>
#include <string.h>

/* The columns have the names of the JSON's keys. */
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
	[COLUMN_WOULD_KEEPALIVE] = {"WOULD-KEEPALIVE", 0, "yes or no, as it would be"},
	[COLUMN_WOULD_TIME] = {"WOULD-TIME", SCOLS_FL_RIGHT, "keepalive time that it would have"},
	[COLUMN_WOULD_INTERVAL] = {"WOULD-INTERVAL", SCOLS_FL_RIGHT, "interval that it would have"},
	[COLUMN_WOULD_PROBES] = {"WOULD-PROBES", SCOLS_FL_RIGHT, "probes that it would have"},
	[COLUMN_WOULD_USER_TIMEOUT] = {"WOULD-USER-TIMEOUT", SCOLS_FL_RIGHT,
				       "TCP_USER_TIMEOUT that it would have"},
};

static const int by_default[] = {
	COLUMN_VERDICT, COLUMN_RULE,	   COLUMN_LOCAL,  COLUMN_PEER,	    COLUMN_TIME,
	COLUMN_IDLE,	COLUMN_NEXT_PROBE, COLUMN_WINDOW, COLUMN_PROCESSES,
};

static const int by_default_in_preview[] = {
	COLUMN_VERDICT, COLUMN_RULE,	   COLUMN_LOCAL, COLUMN_PEER,	COLUMN_KEEPALIVE,
	COLUMN_TIME,	COLUMN_WOULD_TIME, COLUMN_IDLE,	 COLUMN_WINDOW, COLUMN_PROCESSES,
};

/* The columns of a preview follow those of `status`. */
static int n_columns(bool preview)
{
	return preview ? N_COLUMNS : COLUMN_WOULD_KEEPALIVE;
}

/* Compares names regardless of case and with _ for -, so that the JSON's keys fit, too. */
static bool same_name(const char *name, const char *given)
{
	for (; *name && *given; name++, given++) {
		if (*name != (*given == '_' ? '-' : toupper((unsigned char)*given)))
			return false;
	}
	return *name == *given;
}

static int find_column(const char *name, bool preview)
{
	int i;

	for (i = 0; i < n_columns(preview); i++) {
		if (same_name(known[i].name, name))
			return i;
	}
	return -EINVAL;
}

int status_columns_parse(const char *list, bool preview, struct status_columns *columns,
			 struct error *e)
{
	const int *usual = preview ? by_default_in_preview : by_default;
	size_t n = preview ? ARRAY_SIZE(by_default_in_preview) : ARRAY_SIZE(by_default);
	_cleanup_free_ char *copy = NULL;
	char *rest, *name;
	size_t room;
	int id;

	room = n + (list ? strlen(list) : 0) + 1;
	*columns = (struct status_columns){.ids = calloc(room, sizeof(*columns->ids))};
	if (!columns->ids)
		return error_set(e, ENOMEM, "out of memory");
	if (!list || *list == '+') {
		memcpy(columns->ids, usual, n * sizeof(*usual));
		columns->n = n;
	}
	if (!list)
		return 0;
	rest = copy = strdup(*list == '+' ? list + 1 : list);
	while (copy && (name = value_next_element(&rest))) {
		id = find_column(name, preview);
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

void status_columns_help(FILE *out, bool preview)
{
	int i;

	for (i = 0; i < n_columns(preview); i++)
		fprintf(out, "  %-*s %s\n", preview ? 18 : 13, known[i].name, known[i].help);
}

/* Formats seconds, with a decimal only if it isn't 0: "43.2", "600". */
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

/* A socket that would be left alone has dashes. */
static void would(char *text, size_t size, const struct hf_keepalive *keepalive,
		  enum status_column column)
{
	if (!keepalive)
		snprintf(text, size, "-");
	else if (column == COLUMN_WOULD_KEEPALIVE)
		snprintf(text, size, "%s", keepalive->on ? "yes" : "no");
	else if (column == COLUMN_WOULD_TIME)
		snprintf(text, size, "%u", keepalive->time_s);
	else if (column == COLUMN_WOULD_INTERVAL)
		snprintf(text, size, "%u", keepalive->interval_s);
	else if (column == COLUMN_WOULD_PROBES)
		snprintf(text, size, "%u", keepalive->probes);
	else
		snprintf(text, size, "%u", keepalive->user_timeout_ms);
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
		if (socket->rule->window_ms)
			seconds(text, size, (int64_t)socket->rule->window_ms);
		else
			snprintf(text, size, "auto");
		break;
	case COLUMN_MARGIN:
		if (socket->rule->window_ms)
			seconds(text, size,
				(int64_t)socket->rule->window_ms -
					(int64_t)socket->now.time_s * 1000);
		else
			snprintf(text, size, "-");
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
	case COLUMN_WOULD_KEEPALIVE:
	case COLUMN_WOULD_TIME:
	case COLUMN_WOULD_INTERVAL:
	case COLUMN_WOULD_PROBES:
	case COLUMN_WOULD_USER_TIMEOUT:
		would(text, size, socket->would, column);
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

/* Prints the headings of an empty table, of which libsmartcols prints nothing at all. */
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
