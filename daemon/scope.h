/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cgroup subtree that a daemon is limited to (--cgroup), if it is. */
#ifndef HOLDFAST_SCOPE_H
#define HOLDFAST_SCOPE_H

#include "plane.h"

struct scope {
	uint64_t id;		       /* of the subtree's top; 0: no limit */
	char path[HF_CGROUP_PATH_MAX]; /* its directory */
	int fd;			       /* likewise, open; owned; -1: none */
};

/* From what is pinned: the daemon that attached has left it there. */
void scope_open(struct scope *scope, const struct plane *plane);
void scope_close(struct scope *scope);

/* Whether a socket whose cgroup has that id is in it; id 0, not known: yes. */
bool scope_has(const struct scope *scope, uint64_t id);

#endif
