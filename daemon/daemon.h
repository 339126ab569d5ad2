/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The running daemon and its parts: holdfastd.c starts and stops it, events.c
 * answers what happens, reload.c reads the configuration.
 */
#ifndef HOLDFAST_DAEMON_H
#define HOLDFAST_DAEMON_H

#include "alive.h"
#include "ends.h"
#include "exporter.h"
#include "log.h"
#include "pace.h"
#include "path.h"
#include "plane.h"
#include "reconcile.h"
#include "resolver.h"
#include "rtnl.h"
#include "stats.h"

#include <systemd/sd-event.h>

struct options {
	const char *config;
	const char *cgroup;
	const char *pin_dir;
	bool persist;
	bool verbose;
};

struct daemon {
	struct options options;
	struct log log;
	struct config config;
	struct plane plane;
	struct reconcile *reconcile;
	struct resolver *resolver;
	struct rtnl *rtnl;
	struct ends *ends;
	struct exporter *exporter;
	struct stats_map stats;
	sd_event *event;
	sd_event_source *timer;	 /* the slow one: everything, each `reconcile` */
	sd_event_source *settle; /* the quick one, after rtnetlink events */
	int pending;		 /* enum rtnl_event, what the quick one waits to answer */
	uint64_t pending_us;	 /* since when */
	uint64_t rested_us;	 /* and when it may, after the answers before */
	struct pace pace;	 /* of those answers */
	struct alive alive;
	struct pace pass_pace;	 /* of full passes */
	uint64_t pass_cost_us;	 /* CPU time of the last one */
	uint64_t pass_wait_us;	 /* so long the next one has to wait for that */
	bool stretched;		 /* full passes come less often than is configured */
	bool canceled;		 /* the last pass made way for a signal */
	sd_event_source *ending; /* connections have ended */
	sd_event_source *rest;	 /* from telling of them */
	sd_event_source *probed; /* puts the keepalive time back after a probe */
	bool tracepoint;	 /* hf_ended is to be attached */
	bool unguarded;		 /* it has been told that the guard can't be attached */
	struct moved probing;	 /* the sockets that are being probed */
};

/* Reads the configuration and logs every fault. 0; -EBADMSG where there are errors; -ENOMEM. */
int daemon_read_config(const struct daemon *daemon, struct config *config, struct error *e);

/*
 * What an earlier daemon has left besides what it holds: the addresses of host
 * names, and its metrics-textfile. From now on looks up the host names of the
 * first configuration, and fills in what is known of them: waits a moment for
 * it. Needs the event loop and the exporter, and comes before install_prepare().
 */
int daemon_start_names(struct daemon *daemon, struct error *e);

/* SIGHUP: new rules in one step, or everything as it was; says how it went. */
void daemon_reload(struct daemon *daemon);

/*
 * Whether everything is attached that is to be, as the kernel says. What isn't is attached again;
 * where that takes what the daemon has given up, it ends, as in a crash.
 */
void daemon_check_attached(struct daemon *daemon);

/* That the guard had been detached, and is attached again. */
void daemon_tell_guard(const struct daemon *daemon, const struct hf_info *info);

/* Compares all namespaces with the rules, or only those that no pass has seen before. */
void daemon_reconcile(struct daemon *daemon, bool all);

/* Starts the wait for the next full pass anew: one has been made, or its period has changed. */
void daemon_arm_timer(struct daemon *daemon);

/* The event loop's sources. Negative errno. */
int daemon_add_sources(struct daemon *daemon);

/* Puts the keepalive time back on what is being probed. */
void daemon_end_probes(struct daemon *daemon);

/* CLOCK_MONOTONIC. */
uint64_t daemon_now_us(void);

#endif
