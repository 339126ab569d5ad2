// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include "address.h"
#include "json_out.h"
#include "json.h"
#include "rules_json.h"
#include "util.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/utsname.h>
#include <time.h>

/* Puts value under key, and remembers whether any of them failed for want of memory. */
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

static void print_owner(struct json_out *json, const struct owner *owner)
{
	json_out_open(json, NULL, '{');
	json_out_number(json, "pid", (uint64_t)owner->pid);
	json_out_text(json, "command", owner->command);
	json_out_number(json, "fd", owner->fd);
	json_out_close(json, '}');
}

static void print_address(struct json_out *json, const char *key, uint8_t family,
			  const uint8_t address[16])
{
	char text[ADDRESS_TEXT_MAX];

	address_format(text, sizeof(text), family, address);
	json_out_text(json, key, text);
}

void status_socket_print(struct json_out *json, const struct snapshot_socket *socket)
{
	const struct diag_socket *diag = &socket->diag;
	const struct hf_keepalive *now = &socket->now;
	int64_t next = snapshot_next_probe_ms(socket);
	size_t i;

	json_out_text(json, "family", diag->family == 4 ? "inet" : "inet6");
	print_address(json, "local", diag->family, diag->local);
	json_out_number(json, "local_port", diag->local_port);
	print_address(json, "peer", diag->family, diag->peer);
	json_out_number(json, "peer_port", diag->peer_port);
	json_out_text(json, "side", socket->side == HF_SIDE_CLIENT ? "client" : "server");
	json_out_text(json, "rule", socket->rule->name);
	json_out_text(json, "verdict", verdict_name(socket->verdict));
	json_out_bool(json, "keepalive", now->on);
	json_out_number(json, "time", now->time_s);
	json_out_number(json, "interval", now->interval_s);
	json_out_number(json, "probes", now->probes);
	json_out_number(json, "user_timeout", now->user_timeout_ms);
	json_out_seconds(json, "idle", diag->idle_ms);
	if (next >= 0)
		json_out_seconds(json, "next_probe", next);
	else
		json_out_null(json, "next_probe");
	json_out_number(json, "unanswered", diag->unanswered);
	json_out_seconds(json, "window", (int64_t)socket->rule->window_ms);
	json_out_seconds(json, "margin",
			 (int64_t)socket->rule->window_ms - (int64_t)now->time_s * 1000);
	json_out_number(json, "netns", socket->netns);
	json_out_text(json, "cgroup", socket->cgroup);
	json_out_number(json, "inode", diag->inode);
	json_out_number(json, "cookie", diag->cookie);
	json_out_open(json, "processes", '[');
	for (i = 0; i < socket->n_owners; i++)
		print_owner(json, &socket->owners[i]);
	json_out_close(json, ']');
}

/* How many sockets each rule has. NULL: out of memory. */
static uint64_t *count_sockets(const struct snapshot *snapshot)
{
	uint64_t *counts = calloc(snapshot->config.n_rules + 1, sizeof(*counts));
	size_t i;

	for (i = 0; counts && i < snapshot->n; i++)
		counts[snapshot->sockets[i].rule - snapshot->config.rules]++;
	return counts;
}

/* Puts the object away. */
static int print_object(struct json_out *json, const char *key, struct json_object *object, int err)
{
	if (!err)
		err = object ? json_out_object(json, key, object) : -ENOMEM;
	json_object_put(object);
	return err;
}

static int print_rules(struct json_out *json, const struct snapshot *snapshot)
{
	_cleanup_free_ uint64_t *counts = count_sockets(snapshot);
	int err = counts ? 0 : -ENOMEM;
	size_t i;

	json_out_open(json, "rules", '[');
	for (i = 0; !err && i < snapshot->config.n_rules; i++) {
		struct json_object *rule = rule_to_json(&snapshot->config.rules[i]);

		err = rule ? 0 : -ENOMEM;
		put(rule, "sockets", integer(counts[i]), &err);
		err = print_object(json, NULL, rule, err);
	}
	json_out_close(json, ']');
	return err;
}

int status_json(const struct snapshot *snapshot, const struct filter *filter)
{
	struct json_out json = {.out = stdout};
	struct json_object *enforcement;
	int err = 0;
	size_t i;

	json_out_open(&json, NULL, '{');
	enforcement = enforcement_to_json(snapshot, &err);
	err = print_object(&json, "enforcement", enforcement, err);
	if (!err)
		err = print_rules(&json, snapshot);
	json_out_open(&json, "sockets", '[');
	for (i = 0; !err && i < snapshot->n; i++) {
		if (!filter_takes(filter, &snapshot->sockets[i]))
			continue;
		json_out_open(&json, NULL, '{');
		status_socket_print(&json, &snapshot->sockets[i]);
		json_out_close(&json, '}');
	}
	json_out_close(&json, ']');
	json_out_close(&json, '}');
	putc('\n', stdout);
	return err;
}
