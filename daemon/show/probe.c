// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/probe.h"

#include "show/status.h"

#include <errno.h>
#include <inttypes.h>
#include <libsmartcols/libsmartcols.h>

static const char *const outcomes[] = {
	[PROBE_WAITING] = "silent",
	[PROBE_ANSWERED] = "answered",
	[PROBE_GONE] = "gone",
	[PROBE_REFUSED] = "not-asked",
};

static int add_line(struct libscols_table *table, const struct probe_result *result)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	static const enum status_column columns[] = {COLUMN_RULE, COLUMN_LOCAL, COLUMN_PEER,
						     COLUMN_PROCESSES};
	char text[STATUS_CELL_MAX];
	size_t i;

	if (!line || scols_line_set_data(line, 0, outcomes[result->outcome]) < 0)
		return -ENOMEM;
	snprintf(text, sizeof(text), "%" PRId64, result->ms);
	if (scols_line_set_data(line, 1, result->outcome == PROBE_ANSWERED ? text : "-") < 0)
		return -ENOMEM;
	for (i = 0; i < 4; i++) {
		status_cell(text, sizeof(text), result->socket, columns[i]);
		if (scols_line_set_data(line, i + 2, text) < 0)
			return -ENOMEM;
	}
	return 0;
}

int probe_show_table(const struct probe_results *results)
{
	static const char *const headings[] = {"ANSWER", "MS",	 "RULE",
					       "LOCAL",	 "PEER", "PROCESSES"};
	struct libscols_table *table = scols_new_table();
	int err = table ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !err && i < 6; i++) {
		if (!scols_table_new_column(table, headings[i], 0, i == 1 ? SCOLS_FL_RIGHT : 0))
			err = -ENOMEM;
	}
	for (i = 0; !err && i < results->n; i++)
		err = add_line(table, &results->list[i]);
	if (!err && scols_print_table(table) < 0)
		err = -ENOMEM;
	scols_unref_table(table);
	return err;
}

int probe_show_json(const struct probe_results *results)
{
	struct json_stream json = {.out = stdout};
	size_t i;

	json_stream_open(&json, NULL, '{');
	json_stream_open(&json, "sockets", '[');
	for (i = 0; i < results->n; i++) {
		const struct probe_result *result = &results->list[i];
		bool answered = result->outcome == PROBE_ANSWERED;

		json_stream_open(&json, NULL, '{');
		status_socket_print(&json, result->socket);
		json_stream_bool(&json, "answered", answered);
		json_stream_text(&json, "outcome", outcomes[result->outcome]);
		if (answered)
			json_stream_number(&json, "ms", (uint64_t)result->ms);
		else
			json_stream_null(&json, "ms");
		json_stream_close(&json, '}');
	}
	json_stream_close(&json, ']');
	json_stream_close(&json, '}');
	putc('\n', stdout);
	return 0;
}
