/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A start, in two parts. The first does whatever can fail: it loads the programs and
 * pins them aside, where nothing runs them yet. The second puts them, and the rules, in
 * force in a few moves. What fails, in either or between them, leaves everything as it
 * was found: what an earlier daemon left goes on enforcing; else nothing is there.
 */
#ifndef HOLDFAST_INSTALL_H
#define HOLDFAST_INSTALL_H

#include "plane.h"

struct install;

struct install_options {
	const char *pin_dir;
	const char *cgroup; /* directory to be limited to; NULL: the root of the hierarchy */
	const char *version;
	struct progress progress; /* for the plane */
};

/*
 * Locks the pin dir, and loads the programs: on the maps (and with them all held sockets) that
 * an earlier daemon left pinned, or on new ones. Afterwards `plane` can be read; on failure it is
 * closed.
 */
int install_prepare(struct install **install, struct plane *plane,
		    const struct install_options *options, const struct config *config,
		    struct error *e);

/* Whether there is something to take over. */
bool install_takes_over(const struct install *install);

/*
 * The rules are put in force before a new program is attached, and after programs have been
 * replaced: no connection meets a hook without rules.
 */
int install_commit(struct install *install, const struct config *config, struct error *e);

/* Frees it; takes back what isn't committed, and closes the plane then. NULL is fine. */
void install_end(struct install *install);

#endif
