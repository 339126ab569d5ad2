// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/status.h"

#include "base/address.h"
#include "base/json.h"
#include "base/json_stream.h"
#include "base/util.h"
#include "rules/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/utsname.h>
#include <time.h>

/*
 * Puts value under key, and sets *err if that fails for lack of memory. Does nothing but free the
 * value if *err is set already.
 */
static void put(struct json_object *object, const char *key, struct json_object *value, int *err)
{
	if (*err) {
		json_object_put(value);
		return;
	}
	*err = json_put(object, key, value);
}

static void put_null(struct json_object *object, const char *key, int *err)
{
	if (!*err && json_object_object_add(object, key, NULL) < 0)
		*err = -ENOMEM;
}

static struct json_object *integer(uint64_t value)
{
	return json_object_new_uint64(value);
}

static struct json_object *enforcement_to_json(const struct snapshot *snapshot, int *err)
{
	struct json_object *object = json_object_new_object();
	time_t since = (time_t)snapshot->info.since_s;
	struct utsname kernel;
	char text[32];
	struct tm tm;

	if (!object) {
		*err = -ENOMEM;
		return NULL;
	}
	put(object, "attached", json_object_new_boolean(snapshot->attached), err);
	if (snapshot->daemon_pid)
		put(object, "daemon_pid", json_object_new_int(snapshot->daemon_pid), err);
	else
		put_null(object, "daemon_pid", err);
	if (snapshot->attached && gmtime_r(&since, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		put(object, "since", json_object_new_string(text), err);
	else
		put_null(object, "since", err);
	if (uname(&kernel) == 0)
		put(object, "kernel", json_object_new_string(kernel.release), err);
	else
		put_null(object, "kernel", err);
	put(object, "guard", json_object_new_boolean(snapshot->guard), err);
	put(object, "adopts_existing", json_object_new_boolean(snapshot->adopts), err);
	put(object, "generation", integer(snapshot->generation), err);
	if (snapshot->period_s > snapshot->config.reconcile_s)
		put(object, "reconcile_in_force", integer(snapshot->period_s), err);
	if (snapshot->limits[0])
		put(object, "limits", json_object_new_string(snapshot->limits), err);
	return object;
}

static void print_owner(struct json_stream *json, const struct owner *owner)
{
	json_stream_open(json, NULL, '{');
	json_stream_number(json, "pid", (uint64_t)owner->pid);
	json_stream_text(json, "command", owner->command);
	json_stream_number(json, "fd", owner->fd);
	json_stream_close(json, '}');
}

static void print_address(struct json_stream *json, const char *key, uint8_t family,
			  const uint8_t address[16])
{
	char text[ADDRESS_TEXT_MAX];

	address_format(text, sizeof(text), family, address);
	json_stream_text(json, key, text);
}

void status_socket_print(struct json_stream *json, const struct snapshot_socket *socket)
{
	const struct diag_socket *diag = &socket->diag;
	const struct hf_keepalive *now = &socket->now;
	int64_t next = snapshot_next_probe_ms(socket);
	size_t i;

	json_stream_text(json, "family", diag->family == 4 ? "inet" : "inet6");
	print_address(json, "local", diag->family, diag->local);
	json_stream_number(json, "local_port", diag->local_port);
	print_address(json, "peer", diag->family, diag->peer);
	json_stream_number(json, "peer_port", diag->peer_port);
	json_stream_text(json, "side", socket->side == HF_SIDE_CLIENT ? "client" : "server");
	json_stream_text(json, "rule", socket->rule->name);
	json_stream_text(json, "verdict", verdict_name(socket->verdict));
	json_stream_bool(json, "keepalive", now->on);
	json_stream_number(json, "time", now->time_s);
	json_stream_number(json, "interval", now->interval_s);
	json_stream_number(json, "probes", now->probes);
	json_stream_number(json, "user_timeout", now->user_timeout_ms);
	json_stream_seconds(json, "idle", diag->idle_ms);
	if (next >= 0)
		json_stream_seconds(json, "next_probe", next);
	else
		json_stream_null(json, "next_probe");
	json_stream_number(json, "unanswered", diag->unanswered);
	if (socket->rule->window_ms) {
		json_stream_seconds(json, "window", (int64_t)socket->rule->window_ms);
		json_stream_seconds(json, "margin",
				    (int64_t)socket->rule->window_ms - (int64_t)now->time_s * 1000);
	} else {
		json_stream_null(json, "window");
		json_stream_null(json, "margin");
	}
	json_stream_number(json, "netns", socket->netns);
	json_stream_text(json, "cgroup", socket->cgroup);
	json_stream_number(json, "inode", diag->inode);
	json_stream_number(json, "cookie", diag->cookie);
	json_stream_open(json, "processes", '[');
	for (i = 0; i < socket->n_owners; i++)
		print_owner(json, &socket->owners[i]);
	json_stream_close(json, ']');
}

/* Counts the sockets of each rule. The caller frees the array; NULL: out of memory. */
static uint64_t *count_sockets(const struct snapshot *snapshot)
{
	uint64_t *counts = calloc(snapshot->config.n_rules + 1, sizeof(*counts));
	size_t i;

	for (i = 0; counts && i < snapshot->n; i++)
		counts[snapshot->sockets[i].rule - snapshot->config.rules]++;
	return counts;
}

/* Prints the object and frees it. */
static int print_object(struct json_stream *json, const char *key, struct json_object *object,
			int err)
{
	if (!err)
		err = object ? json_stream_object(json, key, object) : -ENOMEM;
	json_object_put(object);
	return err;
}

static void put_seconds(struct json_object *object, const char *key, uint64_t ms, int *err)
{
	if (ms)
		put(object, key, json_seconds(ms), err);
	else
		put_null(object, key, err);
}

/* What a rule has learned of its path, and what this host itself forgets of it. */
static struct json_object *path_to_json(const struct window *window, const struct host_window *host,
					int *err)
{
	struct json_object *object = json_object_new_object();

	if (!object) {
		*err = -ENOMEM;
		return NULL;
	}
	put_seconds(object, "survived", window->survived_ms, err);
	put(object, "survived_count", integer(window->survived_count), err);
	put_seconds(object, "forgotten", window->forgotten_ms, err);
	put(object, "forgotten_count", integer(window->forgotten_count), err);
	put_seconds(object, "host", host->window_ms, err);
	return object;
}

int status_rules_print(struct json_stream *json, const struct snapshot *snapshot)
{
	_cleanup_free_ uint64_t *counts = count_sockets(snapshot);
	int err = counts ? 0 : -ENOMEM;
	size_t i;

	json_stream_open(json, "rules", '[');
	for (i = 0; !err && i < snapshot->config.n_rules; i++) {
		struct json_object *rule = rule_to_json(&snapshot->config.rules[i]);

		err = rule ? 0 : -ENOMEM;
		put(rule, "path", path_to_json(&snapshot->windows[i], &snapshot->hosts[i], &err),
		    &err);
		put(rule, "sockets", integer(counts[i]), &err);
		err = print_object(json, NULL, rule, err);
	}
	if (!err)
		json_stream_close(json, ']');
	return err;
}

int status_json(const struct snapshot *snapshot, const struct filter *filter, FILE *out)
{
	struct json_stream json = {.out = out};
	struct json_object *enforcement;
	int err = 0;
	size_t i;

	json_stream_open(&json, NULL, '{');
	enforcement = enforcement_to_json(snapshot, &err);
	err = print_object(&json, "enforcement", enforcement, err);
	if (!err)
		err = status_rules_print(&json, snapshot);
	if (err) /* left open, so that no reader takes a part for the whole */
		return err;
	json_stream_open(&json, "sockets", '[');
	for (i = 0; i < snapshot->n; i++) {
		if (!filter_takes(filter, &snapshot->sockets[i]))
			continue;
		json_stream_open(&json, NULL, '{');
		status_socket_print(&json, &snapshot->sockets[i]);
		json_stream_close(&json, '}');
	}
	json_stream_close(&json, ']');
	json_stream_close(&json, '}');
	putc('\n', out);
	return 0;
}
