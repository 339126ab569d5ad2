// SPDX-License-Identifier: GPL-2.0-or-later
/* What happens, and what the daemon does about it. */
#include "daemon.h"

#include "hook.h"
#include "probe.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

/* A burst of events is answered once: when it has been quiet for so long, but at the
 * latest so long after its first. */
#define SETTLE_US      (100u * 1000u)
#define SETTLE_MOST_US (1000u * 1000u)

/*
 * Answering takes looking at all sockets. Afterwards it rests for so many times the CPU time of
 * that: whoever is root in a container can change routes without end.
 */
#define SETTLE_REST 4u

/*
 * Telling of ends takes a look at every open file of the host. Afterwards it rests for so many
 * times as long, so that no application whose connections end without end keeps the CPU busy.
 */
#define ENDS_REST 4u

/* After this long a probe has been sent on every socket that was to be probed. */
#define PROBED_US (1500u * 1000u)

/* After so long a pass that made way for a signal is made again. */
#define AGAIN_US (1000u * 1000u)

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t daemon_now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

static uint64_t cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

/* From now on the tracepoint tells, too. */
static void hear_of_ends(struct daemon *daemon)
{
	struct error e = {0};
	int ret = hook_attach_ended(&daemon->plane.pins, &e);

	if (ret < 0)
		log_warning(&daemon->log, "the ends of some connections won't be told: %s", e.text);
	daemon->tracepoint = daemon->tracepoint || ret > 0;
	if (ret > 0)
		log_notice(
			&daemon->log,
			"another sockops program (bpftool prog list) switches off what tells of "
			"the ends of connections: from now on a tracepoint does, which costs each "
			"connection of the host some 2 us");
}

void daemon_reconcile(struct daemon *daemon, bool all)
{
	uint64_t start = daemon_now_us(), start_cpu = cpu_us(), us;
	struct reconcile_result result;
	struct error e = {0};
	int err;

	err = all ? reconcile_all(daemon->reconcile, &result, &e)
		  : reconcile_unseen(daemon->reconcile, &result, &e);
	if (err == -ECANCELED)
		log_debug(&daemon->log, "reconcile makes way for a signal");
	else if (err)
		log_warning(&daemon->log, "reconcile is incomplete: %s", e.text);
	daemon->canceled = err == -ECANCELED;
	if (all) {
		daemon->pass_cost_us = cpu_us() - start_cpu;
		daemon->pass_wait_us =
			pace_spend(&daemon->pass_pace, daemon_now_us(), daemon->pass_cost_us);
	}
	us = daemon_now_us() - start;
	log_debug(&daemon->log, "reconcile: %zu network namespaces in %" PRIu64 " us",
		  result.namespaces, us);
	stats_count_pass(&daemon->stats, us, all, !err, &result);
	if (result.marked)
		hear_of_ends(daemon);
	exporter_due(daemon->exporter);
	if (all)
		daemon_check_attached(daemon);
}

/* Full passes come less often where they would take too much of a CPU. */
void daemon_arm_timer(struct daemon *daemon)
{
	uint64_t configured_us = (uint64_t)daemon->config.reconcile_s * 1000000u;
	uint64_t period_us =
		daemon->pass_wait_us > configured_us ? daemon->pass_wait_us : configured_us;
	bool stretched = period_us > configured_us;

	if (stretched != daemon->stretched)
		log_notice(
			&daemon->log,
			stretched ? "a pass over all sockets took %.1f s of CPU time: the next one "
				    "is in %.0f s, later than reconcile says, for the CPU's sake"
				  : "a pass over all sockets took %.1f s of CPU time: they come "
				    "every %.0f s again",
			(double)daemon->pass_cost_us / 1e6, (double)period_us / 1e6);
	daemon->stretched = stretched;
	stats_set_period(&daemon->stats, (period_us + 999999u) / 1000000u);
	/* What made way for a signal is begun anew once that has been answered. */
	sd_event_source_set_time_relative(daemon->timer, daemon->canceled ? AGAIN_US : period_us);
	sd_event_source_set_enabled(daemon->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;

	(void)source;
	(void)us;
	daemon_reconcile(daemon, true);
	daemon_arm_timer(daemon);
	return 0;
}

/* The rule's keepalive time back on what was probed. */
void daemon_end_probes(struct daemon *daemon)
{
	struct netns_list namespaces;
	struct error e = {0};
	int err;

	if (!daemon->probing.n)
		return;
	err = netns_find(&daemon->plane.pins, &namespaces, &e);
	if (!err) {
		netns_list_keep(&namespaces, &daemon->probing.namespaces);
		err = probe_end(&daemon->plane, &namespaces, daemon->probing.cookies,
				daemon->probing.n, &e);
		netns_list_free(&namespaces);
	}
	if (err) /* the next reconcile pass does it */
		log_warning(&daemon->log, "after probing: %s", e.text);
	moved_free(&daemon->probing);
}

/* How long it rests for what the answer to events has cost, beside what it rests already. */
static void rest_for(struct daemon *daemon, uint64_t cost_us)
{
	uint64_t now_us = daemon_now_us(), wait_us = pace_spend(&daemon->pace, now_us, cost_us);

	if (daemon->rested_us < now_us)
		daemon->rested_us = now_us;
	daemon->rested_us += cost_us * SETTLE_REST;
	if (daemon->rested_us < now_us + wait_us)
		daemon->rested_us = now_us + wait_us;
}

static int on_probed(sd_event_source *source, uint64_t us, void *arg)
{
	uint64_t start_us = cpu_us();

	(void)source;
	(void)us;
	daemon_end_probes(arg);
	rest_for(arg, cpu_us() - start_us);
	return 0;
}

/* Held sockets whose path has moved are probed at once. */
static void probe_moved(struct daemon *daemon)
{
	struct netns_list namespaces;
	const struct rtnl_change *changes;
	struct error e = {0};
	size_t n_changes;
	int err;

	daemon_end_probes(daemon);
	changes = rtnl_changes(daemon->rtnl, &n_changes);
	err = netns_find(&daemon->plane.pins, &namespaces, &e);
	if (!err) {
		err = path_moved(&daemon->plane, &namespaces, changes, n_changes, &daemon->probing,
				 &e);
		if (!err && daemon->probing.n) {
			log_info(&daemon->log,
				 "the path of %zu held connection%s has moved: probing",
				 daemon->probing.n, daemon->probing.n == 1 ? "" : "s");
			netns_list_keep(&namespaces, &daemon->probing.namespaces);
			err = probe_begin(&daemon->plane, &namespaces, daemon->probing.cookies,
					  daemon->probing.n, &e);
			sd_event_source_set_time_relative(daemon->probed, PROBED_US);
			sd_event_source_set_enabled(daemon->probed, SD_EVENT_ONESHOT);
		}
		netns_list_free(&namespaces);
	}
	if (err)
		log_warning(&daemon->log, "probing after a change of routes: %s", e.text);
}

static int on_settle(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;
	uint64_t start_us = cpu_us(), now_us = daemon_now_us();
	int pending = daemon->pending;

	(void)us;
	if (daemon->rested_us > now_us) { /* it has come to rest for longer meanwhile */
		sd_event_source_set_time_relative(source, daemon->rested_us - now_us);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	daemon->pending = 0;
	if (pending & (RTNL_NAMESPACE | RTNL_OVERRUN))
		daemon_reconcile(daemon, pending & RTNL_OVERRUN);
	if (daemon->canceled)
		daemon_arm_timer(daemon);
	if (pending & RTNL_PATH)
		probe_moved(daemon);
	rtnl_forget(daemon->rtnl);
	rest_for(daemon, cpu_us() - start_us);
	return 0;
}

static int on_rtnl(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *daemon = arg;
	struct error e = {0};
	uint64_t now_us = daemon_now_us(), wait_us = SETTLE_US;
	int events;

	(void)source;
	(void)fd;
	(void)revents;
	events = rtnl_read(daemon->rtnl, &e);
	if (events < 0) {
		log_warning(&daemon->log, "%s", e.text);
		events = RTNL_OVERRUN;
	}
	if (!events)
		return 0;
	if (!daemon->pending)
		daemon->pending_us = now_us;
	daemon->pending |= events;
	if (daemon->rested_us > now_us + wait_us)
		wait_us = daemon->rested_us - now_us;
	if (now_us - daemon->pending_us < SETTLE_MOST_US) {
		sd_event_source_set_time_relative(daemon->settle, wait_us);
		sd_event_source_set_enabled(daemon->settle, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int on_ends(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *daemon = arg;
	uint64_t start_us = daemon_now_us();
	struct error e = {0};

	(void)fd;
	(void)revents;
	if (ends_read(daemon->ends, &daemon->config, &e))
		log_warning(&daemon->log, "%s", e.text);
	exporter_due(daemon->exporter);
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	sd_event_source_set_time_relative(daemon->rest, (daemon_now_us() - start_us) * ENDS_REST);
	sd_event_source_set_enabled(daemon->rest, SD_EVENT_ONESHOT);
	return 0;
}

static int on_rested(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;

	(void)source;
	(void)us;
	return sd_event_source_set_enabled(daemon->ending, SD_EVENT_ON);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	(void)source;
	(void)info;
	daemon_reload(arg);
	return 0;
}

/* The unit's signal for a restart: everything stays attached for the next one. */
static int on_restart(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct daemon *daemon = arg;

	(void)info;
	daemon->options.persist = true;
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

int daemon_add_sources(struct daemon *daemon)
{
	int err;

	pace_init(&daemon->pace, PACE_EVENT, PACE_EVENT_BURST_US, daemon_now_us());
	pace_init(&daemon->pass_pace, PACE_PASS, PACE_PASS_BURST_US, daemon_now_us());
	err = sd_event_add_signal(daemon->event, NULL, SIGHUP, on_reload, daemon);
	if (err >= 0) /* no handler: the loop ends */
		err = sd_event_add_signal(daemon->event, NULL, SIGTERM, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(daemon->event, NULL, SIGINT, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(daemon->event, NULL, SIGUSR1, on_restart, daemon);
	if (err >= 0)
		err = sd_event_add_io(daemon->event, NULL, rtnl_fd(daemon->rtnl), EPOLLIN, on_rtnl,
				      daemon);
	if (err >= 0)
		err = sd_event_add_io(daemon->event, &daemon->ending, ends_fd(daemon->ends),
				      EPOLLIN, on_ends, daemon);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->rest, CLOCK_MONOTONIC, 0,
						 1000, on_rested, daemon);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->rest, SD_EVENT_OFF);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->timer, CLOCK_MONOTONIC, 0,
						 0, on_timer, daemon);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->settle, CLOCK_MONOTONIC, 0,
						 1000, on_settle, daemon);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->probed, CLOCK_MONOTONIC, 0,
						 1000, on_probed, daemon);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->probed, SD_EVENT_OFF);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->settle, SD_EVENT_OFF);
	if (err < 0)
		return err;
	err = sd_event_set_watchdog(daemon->event, true);
	if (err < 0) /* it is the environment's */
		log_warning(&daemon->log,
			    "the service manager's watchdog isn't served, WATCHDOG_USEC and "
			    "WATCHDOG_PID are no use: %s",
			    strerror(-err));
	daemon_arm_timer(daemon);
	return 0;
}
