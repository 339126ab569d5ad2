/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts enforcement, in two parts. The first does most of what can fail: it loads the programs
 * and pins them aside, where nothing runs them yet. The second puts the programs and the rules in
 * force in a few steps. A failure in either part, or between them, leaves everything as it was:
 * what an earlier daemon left goes on enforcing, and where there was nothing there is nothing.
 */
#ifndef HOLDFAST_STARTUP_H
#define HOLDFAST_STARTUP_H

#include "kernel/data_plane.h"
#include "rules/rules.h"

struct startup;

struct startup_options {
	const char *pin_dir;
	const char *cgroup; /* directory to attach to; NULL: the root of the hierarchy */
	const char *version;
	struct progress progress; /* for data_plane.progress */
};

/*
 * Locks the pin dir and loads the programs, on the maps that an earlier daemon left pinned, which
 * have the records of all held sockets, or on new ones. Returns 0, and `plane` can be read; or a
 * negative errno, and `plane` is closed. startup_end() frees *startup.
 */
int startup_prepare(struct startup **startup, struct data_plane *plane,
		    const struct startup_options *options, const struct config *config,
		    struct error *e);

/* Tells whether an earlier daemon has left maps to take over. */
bool startup_takes_over(const struct startup *startup);

/*
 * Puts the programs and the rules in force. On new maps the rules are in force before a program
 * is attached; at a take-over the old rules stay in force until all programs are in place. No
 * connection meets a hook without rules. Returns 0 or a negative errno.
 */
int startup_commit(struct startup *startup, const struct config *config, struct error *e);

/*
 * Frees *startup. Unless it was committed, removes what it has made and closes the plane. NULL is
 * fine.
 */
void startup_end(struct startup *startup);

#endif
