// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon.h"

#include "base/clock.h"
#include "base/util.h"
#include "conf/conf.h"
#include "host/iterate.h"
#include "kernel/hook.h"
#include "kernel/rules_map.h"
#include "kernel/text_map.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <string.h>

/* How long a start or a reload waits for name servers: one that works answers sooner. */
#define NAMES_WAIT_MS 2000u

/* How long they wait for a configuration that is a FIFO, to which nobody may ever write. */
#define CONFIG_WAIT_MS 5000

int daemon_read_config(const struct daemon *daemon, struct config *config, struct error *e)
{
	struct conf_messages messages = {0};
	size_t i;
	int err;

	err = conf_load_within(CONFIG_WAIT_MS, daemon->options.config, config, &messages);
	if (!err && conf_refuse_unsafe(&messages)) {
		config_free(config);
		err = -EBADMSG;
	}
	for (i = 0; i < messages.n; i++) {
		_cleanup_free_ char *line = conf_message_format(&messages.list[i]);

		log_line(&daemon->log,
			 messages.list[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s",
			 line ? line : "out of memory");
	}
	conf_messages_free(&messages);
	if (err == -EBADMSG)
		return error_set(e, EBADMSG, "the configuration has errors");
	return err ? error_set(e, -err, "reading the configuration: %s", strerror(-err)) : 0;
}

/* Puts a configuration in force in one step, or leaves everything as it was. */
static int put_rules(struct daemon *daemon, const struct config *config, struct error *e)
{
	struct hook_target target;
	struct hf_info info;
	struct error ignored;
	int err;

	err = data_plane_get_info(&daemon->plane, &info, e);
	if (err)
		return err;
	target = (struct hook_target){info.cgroup, info.cgroup_id};
	err = reconcile_set_rules(daemon->reconcile, config, e);
	if (!err)
		err = hook_need_guard(&daemon->plane.pins, config, &target, e);
	if (err > 0 && config_needs_guard(&daemon->config))
		daemon_tell_guard(daemon, &info);
	if (err >= 0)
		err = rules_map_put(&daemon->plane, config, info.generation + 1, e);
	if (err) {
		reconcile_set_rules(daemon->reconcile, &daemon->config, &ignored);
		hook_spare_guard(&daemon->plane.pins, &daemon->config, &ignored);
		return err;
	}
	/*
	 * The guard is detached only now that the old rules, which may need it, are gone. The next
	 * pass tries again after a failure.
	 */
	hook_spare_guard(&daemon->plane.pins, config, &ignored);
	return 0;
}

/* Fills in the addresses of a configuration's host names, and waits for those of new names. */
static int resolve(struct daemon *daemon, struct config *config, struct error *e)
{
	int err;

	err = resolver_set_names(daemon->resolver, config, e);
	if (err)
		return err;
	resolver_wait(daemon->resolver, NAMES_WAIT_MS);
	return resolver_fill(daemon->resolver, config, e);
}

/* Reads the configuration and puts it in force in one step, or leaves everything as it was. */
static int reload(struct daemon *daemon, struct error *e)
{
	struct config config;
	struct error ignored;
	int err;

	err = daemon_read_config(daemon, &config, e);
	if (err)
		return err;
	err = resolve(daemon, &config, e);
	if (!err)
		err = windows_prepare(daemon->windows, &config, e);
	if (!err)
		err = put_rules(daemon, &config, e);
	if (err) {
		windows_drop(daemon->windows);
		resolver_set_names(daemon->resolver, &daemon->config, &ignored);
		config_free(&config);
		return err;
	}
	config_free(&daemon->config);
	daemon->config = config;
	windows_commit(daemon->windows);
	daemon->learned = false;
	daemon_reconcile(daemon, true);
	daemon_arm_timer(daemon);
	exporter_set(daemon->exporter, daemon->config.textfile);
	return 0;
}

void daemon_put_learned(struct daemon *daemon)
{
	struct error e = {0};

	daemon->learned = false;
	if (put_rules(daemon, &daemon->config, &e)) {
		daemon->learned = true;
		log_error(&daemon->log, "a shorter keepalive time is not in force: %s", e.text);
		return;
	}
	daemon_reconcile(daemon, true);
	daemon_arm_timer(daemon);
}

/* Compiles the rules anew after some host names have got other addresses. */
static int on_names(void *arg)
{
	struct daemon *daemon = arg;
	struct error e = {0};
	int err;

	err = resolver_fill(daemon->resolver, &daemon->config, &e);
	if (!err)
		err = put_rules(daemon, &daemon->config, &e);
	if (err)
		log_error(&daemon->log,
			  "new addresses of host names are not in force: %s (it is tried again)",
			  e.text);
	else
		daemon_reconcile(daemon, true);
	return err;
}

struct peers {
	int (*each)(const struct prefix *peer, void *cookie);
	void *cookie;
};

static int on_held(const void *record, void *arg)
{
	const struct hf_view *view = record;
	const struct peers *peers = arg;
	struct prefix peer = {.family = view->family, .len = view->family == 4 ? 32 : 128};

	memcpy(peer.addr, view->peer, sizeof(peer.addr));
	prefix_unmap(&peer);
	return view->flags & HF_VIEW_MATCH ? peers->each(&peer, peers->cookie) : 0;
}

static int on_used(void *arg, int (*each)(const struct prefix *peer, void *cookie), void *cookie)
{
	const struct daemon *daemon = arg;
	struct peers peers = {each, cookie};
	struct netns_list namespaces;
	struct error e = {0};
	int err;

	err = netns_find(&daemon->plane.pins, &namespaces, &e);
	if (!err) {
		err = iterate_all(&daemon->plane, PIN_HELD, PIN_HELD_HERE, &namespaces,
				  sizeof(struct hf_view), on_held, &peers, &e);
		netns_list_free(&namespaces);
	}
	if (err)
		log_warning(
			&daemon->log,
			"which addresses of host names are in use can't be found out: %s (it is "
			"tried again)",
			e.text);
	return err;
}

/*
 * The addresses that an earlier daemon knew count until there is an answer: no socket is given back
 * because a name server is down during the start.
 */
int daemon_start_names(struct daemon *daemon, struct error *e)
{
	struct data_plane earlier = DATA_PLANE_INIT;
	struct config config = {0};
	struct error ignored;
	uint32_t generation;
	int err;

	err = resolver_new(&daemon->resolver, daemon->event, &daemon->log, on_names, on_used,
			   daemon, e);
	if (err)
		return err;
	if (!data_plane_open(&earlier, daemon->options.pin_dir, &ignored) &&
	    !rules_map_config(&earlier, false, &config, &generation, &ignored)) {
		exporter_adopt(daemon->exporter, config.textfile);
		windows_take_over(daemon->windows, &earlier);
		err = resolver_set_names(daemon->resolver, &config, e);
		config_free(&config);
	}
	data_plane_close(&earlier);
	if (!err)
		err = resolve(daemon, &daemon->config, e);
	return err ? err : windows_prepare(daemon->windows, &daemon->config, e);
}

/*
 * Publishes how a reload went, for `holdfast reload`. The number is odd while a reload is under
 * way.
 */
static void publish(const struct daemon *daemon, uint64_t number, int err, char *lines)
{
	struct kept_text text = {.number = number, .status = err, .text = lines};
	struct error e = {0};

	if (text_map_put(&daemon->plane.pins, PIN_RELOAD, &text, &e))
		log_warning(&daemon->log, "holdfast reload won't learn how it went: %s", e.text);
}

/*
 * Publishes that a reload has begun, together with how the last one went. Returns the number that
 * it has at its end.
 */
static uint64_t publish_begin(const struct daemon *daemon)
{
	struct kept_text before = {0};
	char nothing[] = "";
	uint64_t number;

	if (text_map_get(&daemon->plane.pins, PIN_RELOAD, &before, NULL))
		before = (struct kept_text){0};
	number = reload_number(before.number);
	publish(daemon, number - 1, before.status, before.text ? before.text : nothing);
	free(before.text);
	return number;
}

void daemon_reload(struct daemon *daemon)
{
	_cleanup_free_ char *lines = NULL;
	struct error e = {0};
	uint64_t number;
	size_t size;
	int err;

	watchdog_notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, monotonic_us());
	watchdog_enter(&daemon->watchdog, WATCHDOG_RELOADING);
	number = publish_begin(daemon);
	daemon->log.copy = open_memstream(&lines, &size);
	err = reload(daemon, &e);
	if (err)
		log_error(&daemon->log, "not reloaded, the old rules stay in force: %s", e.text);
	else
		log_info(&daemon->log, "reloaded: %zu rule%s in force", daemon->config.n_rules,
			 daemon->config.n_rules == 1 ? "" : "s");
	if (daemon->log.copy)
		fclose(daemon->log.copy);
	daemon->log.copy = NULL;
	daemon_stats_count_reload(&daemon->stats, err == 0	    ? STATS_RELOAD_APPLIED
						  : err == -EBADMSG ? STATS_RELOAD_REJECTED
								    : STATS_RELOAD_FAILED);
	exporter_due(daemon->exporter);
	if (lines)
		publish(daemon, number, err, lines);
	malloc_trim(0); /* gives back the old configuration, and what reading the new one took */
	watchdog_enter(&daemon->watchdog, WATCHDOG_RUNNING);
	watchdog_notify("READY=1");
}
