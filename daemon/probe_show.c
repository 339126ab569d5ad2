// SPDX-License-Identifier: GPL-2.0-or-later
#include "probe_show.h"

#include "rules_json.h"
#include "status.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <libsmartcols/libsmartcols.h>

static const char *const outcomes[] = {
	[PROBE_WAITING] = "silent",
	[PROBE_ANSWERED] = "answered",
	[PROBE_GONE] = "gone",
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
	struct json_object *root = json_object_new_object();
	struct json_object *list = json_object_new_array();
	int err = root && list ? 0 : -ENOMEM;
	size_t i;

	for (i = 0; !err && i < results->n; i++) {
		const struct probe_result *result = &results->list[i];
		struct json_object *object = status_socket_to_json(result->socket);
		bool answered = result->outcome == PROBE_ANSWERED;

		if (!object ||
		    json_object_object_add(object, "answered", json_object_new_boolean(answered)) <
			    0 ||
		    json_object_object_add(object, "outcome",
					   json_object_new_string(outcomes[result->outcome])) < 0 ||
		    json_object_object_add(object, "ms",
					   answered ? json_object_new_int64(result->ms) : NULL) <
			    0 ||
		    json_object_array_add(list, object) < 0) {
			json_object_put(object);
			err = -ENOMEM;
		}
	}
	if (!err && json_object_object_add(root, "sockets", list) == 0)
		json_print(root);
	else
		json_object_put(list);
	json_object_put(root);
	return err;
}
