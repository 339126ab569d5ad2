// SPDX-License-Identifier: GPL-2.0-or-later
#include "status.h"

#include "address.h"
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

static void put_address(struct json_object *object, const char *key, uint8_t family,
			const uint8_t address[16], int *err)
{
	char text[ADDRESS_TEXT_MAX];

	address_format(text, sizeof(text), family, address);
	put(object, key, json_object_new_string(text), err);
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
	if (snapshot->limits[0])
		put(object, "limits", json_object_new_string(snapshot->limits), err);
	return object;
}

static struct json_object *owner_to_json(const struct owner *owner, int *err)
{
	struct json_object *object = json_object_new_object();

	if (!object) {
		*err = -ENOMEM;
		return NULL;
	}
	put(object, "pid", json_object_new_int(owner->pid), err);
	put(object, "command", json_object_new_string(owner->command), err);
	put(object, "fd", integer(owner->fd), err);
	return object;
}

/* Appends to an array that value is then part of. */
static void append(struct json_object *array, struct json_object *value, int *err)
{
	if (!*err && (!value || json_object_array_add(array, value) < 0))
		*err = -ENOMEM;
	if (*err)
		json_object_put(value);
}

static struct json_object *socket_to_json(const struct snapshot_socket *socket, int *err)
{
	struct json_object *object = json_object_new_object();
	struct json_object *processes = json_object_new_array();
	const struct diag_socket *diag = &socket->diag;
	const struct hf_keepalive *now = &socket->now;
	int64_t next = snapshot_next_probe_ms(socket);
	int64_t margin = (int64_t)socket->rule->window_ms - (int64_t)now->time_s * 1000;
	size_t i;

	if (!object || !processes) {
		json_object_put(object);
		json_object_put(processes);
		*err = -ENOMEM;
		return NULL;
	}
	put(object, "family", json_object_new_string(diag->family == 4 ? "inet" : "inet6"), err);
	put_address(object, "local", diag->family, diag->local, err);
	put(object, "local_port", json_object_new_int(diag->local_port), err);
	put_address(object, "peer", diag->family, diag->peer, err);
	put(object, "peer_port", json_object_new_int(diag->peer_port), err);
	put(object, "side",
	    json_object_new_string(socket->side == HF_SIDE_CLIENT ? "client" : "server"), err);
	put(object, "rule", json_object_new_string(socket->rule->name), err);
	put(object, "verdict", json_object_new_string(verdict_name(socket->verdict)), err);
	put(object, "keepalive", json_object_new_boolean((json_bool)now->on), err);
	put(object, "time", integer(now->time_s), err);
	put(object, "interval", integer(now->interval_s), err);
	put(object, "probes", integer(now->probes), err);
	put(object, "user_timeout", integer(now->user_timeout_ms), err);
	put(object, "idle", json_seconds(diag->idle_ms), err);
	if (next >= 0)
		put(object, "next_probe", json_seconds((uint64_t)next), err);
	else
		put_null(object, "next_probe", err);
	put(object, "unanswered", integer(diag->unanswered), err);
	put(object, "window", json_seconds(socket->rule->window_ms), err);
	if (margin >= 0)
		put(object, "margin", json_seconds((uint64_t)margin), err);
	else
		put(object, "margin", json_object_new_double((double)margin / 1000), err);
	put(object, "netns", integer(socket->netns), err);
	if (socket->cgroup)
		put(object, "cgroup", json_object_new_string(socket->cgroup), err);
	else
		put_null(object, "cgroup", err);
	put(object, "inode", integer(diag->inode), err);
	put(object, "cookie", integer(diag->cookie), err);
	for (i = 0; i < socket->n_owners; i++)
		append(processes, owner_to_json(&socket->owners[i], err), err);
	put(object, "processes", processes, err);
	return object;
}

struct json_object *status_socket_to_json(const struct snapshot_socket *socket)
{
	struct json_object *object;
	int err = 0;

	object = socket_to_json(socket, &err);
	if (err) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

static struct json_object *rule_with_count(const struct snapshot *snapshot, const struct rule *rule,
					   int *err)
{
	struct json_object *object = rule_to_json(rule);
	size_t i, n = 0;

	if (!object) {
		*err = -ENOMEM;
		return NULL;
	}
	for (i = 0; i < snapshot->n; i++)
		n += snapshot->sockets[i].rule == rule;
	put(object, "sockets", integer(n), err);
	return object;
}

int status_json(const struct snapshot *snapshot, const struct filter *filter)
{
	struct json_object *root = json_object_new_object();
	struct json_object *rules = json_object_new_array();
	struct json_object *sockets = json_object_new_array();
	int err = root && rules && sockets ? 0 : -ENOMEM;
	size_t i;

	if (err) {
		json_object_put(root);
		json_object_put(rules);
		json_object_put(sockets);
		return err;
	}
	put(root, "enforcement", enforcement_to_json(snapshot, &err), &err);
	for (i = 0; !err && i < snapshot->config.n_rules; i++)
		append(rules, rule_with_count(snapshot, &snapshot->config.rules[i], &err), &err);
	for (i = 0; !err && i < snapshot->n; i++) {
		if (filter_takes(filter, &snapshot->sockets[i]))
			append(sockets, socket_to_json(&snapshot->sockets[i], &err), &err);
	}
	put(root, "rules", rules, &err);
	put(root, "sockets", sockets, &err);
	if (!err)
		json_print(root);
	json_object_put(root);
	return err;
}
