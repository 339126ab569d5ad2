/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading and attaching the BPF programs; only the daemon does that. */
#ifndef HOLDFAST_LOADER_H
#define HOLDFAST_LOADER_H

#include "plane.h"

struct loader_options {
	const char *pin_dir;
	const char *cgroup;	  /* directory to be limited to; NULL: the root of the hierarchy */
	struct progress progress; /* for the plane */
	const char *version;
};

/*
 * Locks the pin dir, loads the programs, takes over the maps (and with them all
 * held sockets) that an earlier daemon left pinned, puts the rules in force and
 * attaches, in this order: no connection meets a hook without rules. *took_over
 * says whether there was something to take over. On failure what an earlier
 * daemon left is as it was, and nothing else is left behind.
 */
int loader_start(struct plane *plane, const struct loader_options *options,
		 const struct config *config, bool *took_over, struct error *e);

#endif
