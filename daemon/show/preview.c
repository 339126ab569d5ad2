// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/preview.h"

#include "base/util.h"
#include "show/status.h"

#include <errno.h>

static void print_would(struct json_stream *json, const struct hf_keepalive *would)
{
	if (!would) {
		json_stream_null(json, "would");
		return;
	}
	json_stream_open(json, "would", '{');
	json_stream_bool(json, "keepalive", would->on);
	json_stream_number(json, "time", would->time_s);
	json_stream_number(json, "interval", would->interval_s);
	json_stream_number(json, "probes", would->probes);
	json_stream_number(json, "user_timeout", would->user_timeout_ms);
	json_stream_close(json, '}');
}

int preview_json(const struct preview *preview, const struct filter *filter)
{
	const struct snapshot *snapshot = &preview->snapshot;
	struct json_stream json = {.out = stdout};
	size_t i;
	int err;

	json_stream_open(&json, NULL, '{');
	err = status_rules_print(&json, snapshot);
	if (err) /* left open, so that no reader takes a part for the whole */
		return err;
	json_stream_open(&json, "sockets", '[');
	for (i = 0; i < snapshot->n; i++) {
		if (!filter_takes(filter, &snapshot->sockets[i]))
			continue;
		json_stream_open(&json, NULL, '{');
		status_socket_print(&json, &snapshot->sockets[i]);
		print_would(&json, snapshot->sockets[i].would);
		json_stream_close(&json, '}');
	}
	json_stream_close(&json, ']');
	json_stream_close(&json, '}');
	putc('\n', stdout);
	return 0;
}

int preview_print_changes(const struct preview *preview, const struct filter *filter, FILE *out)
{
	const struct snapshot *snapshot = &preview->snapshot;
	_cleanup_free_ size_t *changed = calloc(snapshot->config.n_rules + 1, sizeof(*changed));
	size_t i, shown = 0, all = 0;
	const char *before = ": ";

	if (!changed)
		return -ENOMEM;
	for (i = 0; i < snapshot->n; i++) {
		const struct snapshot_socket *socket = &snapshot->sockets[i];

		if (!filter_takes(filter, socket))
			continue;
		shown++;
		if (preview_changes(socket)) {
			all++;
			changed[socket->rule - snapshot->config.rules]++;
		}
	}
	fprintf(out, "holdfast: %zu of %zu socket%s would be changed", all, shown,
		shown == 1 ? "" : "s");
	for (i = 0; i < snapshot->config.n_rules; i++) {
		if (!changed[i])
			continue;
		fprintf(out, "%s%zu by rule %s", before, changed[i],
			snapshot->config.rules[i].name);
		before = ", ";
	}
	fputc('\n', out);
	return 0;
}
