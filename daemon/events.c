// SPDX-License-Identifier: GPL-2.0-or-later
/* Handles the events of the daemon's event loop. */
#include "daemon.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* A burst of rtnetlink events is answered once: SETTLE_US after its last event, but not more than
 * about SETTLE_MOST_US after its first. */
#define SETTLE_US      (100u * 1000u)
#define SETTLE_MOST_US (1000u * 1000u)

/*
 * An answer to rtnetlink events looks at all sockets. It is followed by a pause of this many times
 * its CPU time, since root in a container can change routes without end.
 */
#define SETTLE_REST 4u

/*
 * Once events were lost, reading the others is of no use: they may be lost, and what they would say
 * is found out by asking. The next ones are read after OVERRUN_REST_US. After a full pass for lost
 * events the next ones look only for new namespaces, until FULL_PASS_US later.
 */
#define OVERRUN_REST_US (1000u * 1000u)
#define FULL_PASS_US	(60u * 1000u * 1000u)

/*
 * Logging ends takes a look at every open file of the host. It is followed by a pause of this many
 * times its duration, so that an application whose connections keep ending can't keep the CPU
 * busy.
 */
#define ENDS_REST 4u

static int on_timer(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;

	(void)source;
	(void)us;
	daemon_reconcile(daemon, true);
	daemon_arm_timer(daemon);
	return 0;
}

/* Makes the pause before the next answer to events longer, according to the cost of this one. */
static void rest_for(struct daemon *daemon, uint64_t cost_us)
{
	uint64_t now_us = monotonic_us(),
		 wait_us = cpu_share_spend(&daemon->event_share, now_us, cost_us);

	if (daemon->rested_us < now_us)
		daemon->rested_us = now_us;
	daemon->rested_us += cost_us * SETTLE_REST;
	if (daemon->rested_us < now_us + wait_us)
		daemon->rested_us = now_us + wait_us;
}

static int on_probed(sd_event_source *source, uint64_t us, void *arg)
{
	uint64_t start_us = cpu_time_us();

	(void)source;
	(void)us;
	daemon_end_probes(arg);
	rest_for(arg, cpu_time_us() - start_us);
	return 0;
}

/* Returns whether lost events have to be answered by a look at all sockets. */
static bool takes_full_pass(struct daemon *daemon, int events, uint64_t now_us)
{
	if (!(events & RTNL_OVERRUN) ||
	    (daemon->overrun_us && now_us - daemon->overrun_us < FULL_PASS_US))
		return false;
	daemon->overrun_us = now_us;
	return true;
}

static int on_settle(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;
	uint64_t start_us = cpu_time_us(), now_us = monotonic_us();
	int pending = daemon->pending;

	(void)us;
	if (daemon->rested_us > now_us) { /* the pause has become longer meanwhile */
		sd_event_source_set_time_relative(source, daemon->rested_us - now_us);
		return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	}
	daemon->pending = 0;
	if (pending & (RTNL_NAMESPACE | RTNL_OVERRUN))
		daemon_reconcile(daemon, takes_full_pass(daemon, pending, now_us));
	if (daemon->canceled)
		daemon_arm_timer(daemon);
	if (pending & (RTNL_PATH | RTNL_OVERRUN))
		daemon_probe_moved(daemon, pending & RTNL_OVERRUN);
	rtnl_forget(daemon->rtnl);
	rest_for(daemon, cpu_time_us() - start_us);
	return 0;
}

static int on_deaf(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;

	(void)source;
	(void)us;
	return sd_event_source_set_enabled(daemon->listening, SD_EVENT_ON);
}

/*
 * Has the next events wait in the socket while answers rest. It may overflow then, which is cheaper
 * than to read what somebody sends without end.
 */
static void stop_listening(struct daemon *daemon, bool overrun)
{
	uint64_t now_us = monotonic_us(), until_us = daemon->rested_us;

	if (overrun && until_us < now_us + OVERRUN_REST_US)
		until_us = now_us + OVERRUN_REST_US;
	if (until_us <= now_us)
		return;
	sd_event_source_set_enabled(daemon->listening, SD_EVENT_OFF);
	sd_event_source_set_time_relative(daemon->deaf, until_us - now_us);
	sd_event_source_set_enabled(daemon->deaf, SD_EVENT_ONESHOT);
}

static int on_rtnl(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *daemon = arg;
	struct error e = {0};
	uint64_t start_us = cpu_time_us(), now_us = monotonic_us(), wait_us = SETTLE_US;
	int events;

	(void)source;
	(void)fd;
	(void)revents;
	events = rtnl_read(daemon->rtnl, &e);
	if (events < 0) {
		log_warning(&daemon->log, "%s", e.text);
		events = RTNL_OVERRUN;
	}
	rest_for(daemon, cpu_time_us() - start_us);
	stop_listening(daemon, events & RTNL_OVERRUN);
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

static void on_end(const struct hf_ended *ended, void *arg)
{
	struct daemon *daemon = arg;

	windows_ended(daemon->windows, &daemon->config, ended);
}

/* After each event: a pass may have found that a rule needs a shorter time. */
static int on_any(sd_event_source *source, void *arg)
{
	struct daemon *daemon = arg;

	(void)source;
	if (daemon->learned)
		daemon_put_learned(daemon);
	return 0;
}

static int on_ends(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *daemon = arg;
	uint64_t start_us = monotonic_us();
	struct error e = {0};

	(void)fd;
	(void)revents;
	if (connection_ends_read(daemon->ends, &daemon->config, &e))
		log_warning(&daemon->log, "%s", e.text);
	exporter_due(daemon->exporter);
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	sd_event_source_set_time_relative(daemon->rest, (monotonic_us() - start_us) * ENDS_REST);
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

/* Ends the daemon on the signal that the unit sends for a restart: everything stays attached. */
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

	cpu_share_init(&daemon->event_share, CPU_SHARE_EVENT, CPU_SHARE_EVENT_BURST_US,
		       monotonic_us());
	cpu_share_init(&daemon->pass_share, CPU_SHARE_PASS, CPU_SHARE_PASS_BURST_US,
		       monotonic_us());
	err = sd_event_add_signal(daemon->event, NULL, SIGHUP, on_reload, daemon);
	if (err >= 0) /* without a handler the event loop ends */
		err = sd_event_add_signal(daemon->event, NULL, SIGTERM, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(daemon->event, NULL, SIGINT, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(daemon->event, NULL, SIGUSR1, on_restart, daemon);
	if (err >= 0)
		err = sd_event_add_io(daemon->event, &daemon->listening, rtnl_fd(daemon->rtnl),
				      EPOLLIN, on_rtnl, daemon);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->deaf, CLOCK_MONOTONIC, 0,
						 1000, on_deaf, daemon);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->deaf, SD_EVENT_OFF);
	if (err >= 0)
		err = sd_event_add_io(daemon->event, &daemon->ending,
				      connection_ends_fd(daemon->ends), EPOLLIN, on_ends, daemon);
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
		err = sd_event_add_post(daemon->event, NULL, on_any, daemon);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->probed, SD_EVENT_OFF);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->settle, SD_EVENT_OFF);
	if (err < 0)
		return err;
	err = sd_event_set_watchdog(daemon->event, true);
	if (err < 0) /* the environment variables are wrong, which is no reason not to start */
		log_warning(&daemon->log,
			    "the service manager's watchdog isn't served, WATCHDOG_USEC and "
			    "WATCHDOG_PID are no use: %s",
			    strerror(-err));
	connection_ends_watch(daemon->ends, on_end, daemon);
	daemon_arm_timer(daemon);
	return 0;
}
