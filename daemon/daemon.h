/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemon/ itself knows the two programs, the daemon's event loop, its start and its reload.
 * It may call every room; no room calls it.
 */

/*
 * Declares the running daemon and its parts: holdfastd.c starts and stops it, events.c handles
 * events, paths.c probes what has a new path, passes.c makes reconcile passes, reload.c reads the
 * configuration, attached.c checks that everything is still attached.
 */
#ifndef HOLDFAST_DAEMON_H
#define HOLDFAST_DAEMON_H

#include "base/cpu_share.h"
#include "base/log.h"
#include "host/rtnl.h"
#include "kernel/data_plane.h"
#include "names/resolver.h"
#include "show/exporter.h"
#include "sockets/connection_ends.h"
#include "sockets/daemon_stats.h"
#include "sockets/probe_keeper.h"
#include "sockets/reconcile.h"
#include "sockets/route_changes.h"
#include "sockets/windows.h"
#include "watchdog.h"

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
	struct data_plane plane;
	struct reconcile *reconcile;
	struct resolver *resolver;
	struct rtnl *rtnl;
	struct connection_ends *ends;
	struct windows *windows;
	bool learned; /* daemon->config has a time that isn't in force yet */
	struct exporter *exporter;
	struct daemon_stats_map stats;
	sd_event *event;
	sd_event_source *timer;	      /* makes full passes, each `reconcile` */
	sd_event_source *settle;      /* answers rtnetlink events once a burst of them is over */
	int pending;		      /* events to answer, bits of enum rtnl_event */
	uint64_t pending_us;	      /* CLOCK_MONOTONIC; when the first of them came */
	uint64_t rested_us;	      /* CLOCK_MONOTONIC; they aren't answered before this */
	struct cpu_share event_share; /* CPU share of answers to rtnetlink events */
	struct watchdog watchdog;
	struct cpu_share pass_share;  /* CPU share of full passes */
	uint64_t pass_cost_us;	      /* CPU time of the last full pass */
	uint64_t pass_wait_us;	      /* how long the next one has to wait for its CPU share */
	bool stretched;		      /* full passes come less often than configured */
	bool canceled;		      /* the last pass made way for a signal */
	sd_event_source *ending;      /* logs the ends of connections */
	sd_event_source *rest;	      /* ends the pause after ends have been logged */
	sd_event_source *probed;      /* puts the keepalive time back after a probe */
	bool tracepoint;	      /* the tracepoint program hf_ended should be attached */
	bool unguarded;		      /* the guard isn't as the rules want; that has been logged */
	struct moved_sockets probing; /* the sockets that are being probed */
	struct probe_keeper keeper;   /* of these probes */
	struct known_ways ways;
	sd_event_source *listening; /* reads rtnetlink events */
	sd_event_source *deaf;	    /* ends the pause after they have been read */
	uint64_t overrun_us; /* CLOCK_MONOTONIC of the last full pass after lost events; 0: none */
};

/*
 * Reads the configuration and logs every fault. Returns 0, -EBADMSG if the configuration has
 * errors, or another negative errno.
 */
int daemon_read_config(const struct daemon *daemon, struct config *config, struct error *e);

/*
 * Takes over the addresses of host names, and the metrics-textfile, that an earlier daemon has
 * left. Then begins to look up the host names of daemon->config, waits a moment for answers, and
 * fills in the addresses that are known. Needs the event loop and the exporter, and must come
 * before startup_prepare(). Returns 0 or a negative errno.
 */
int daemon_start_names(struct daemon *daemon, struct error *e);

/*
 * Reads the configuration again, puts the new rules in force in one step or leaves everything as
 * it was, and logs how it went.
 */
void daemon_reload(struct daemon *daemon);

/*
 * Asks the kernel whether everything is attached that should be, and attaches again what isn't.
 * If that needs privileges that the daemon has given up, ends the event loop as after a crash.
 */
void daemon_check_attached(struct daemon *daemon);

/* Logs that the guard had been detached and is attached again. */
void daemon_tell_guard(const struct daemon *daemon, const struct hf_info *info);

/* Puts in force what rules have learned of their paths. */
void daemon_put_learned(struct daemon *daemon);

/* Makes a reconcile pass: a full one, or reconcile_unseen(). */
void daemon_reconcile(struct daemon *daemon, bool all);

/*
 * Starts the wait for the next full pass anew, after one has been made or its period has changed.
 */
void daemon_arm_timer(struct daemon *daemon);

/* Adds all sources to the event loop. Returns 0 or a negative errno. */
int daemon_add_sources(struct daemon *daemon);

/* Probes the held sockets whose path rtnetlink's changes have moved; lost: there were others. */
void daemon_probe_moved(struct daemon *daemon, bool lost);

/* Puts the keepalive time back on the sockets that are being probed. */
void daemon_end_probes(struct daemon *daemon);

#endif
