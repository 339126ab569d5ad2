/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells whether a socket is in the cgroup subtree that the daemon is limited to (--cgroup). */
#ifndef HOLDFAST_KERNEL_SCOPE_H
#define HOLDFAST_KERNEL_SCOPE_H

#include "kernel/data_plane.h"

#include <stdbool.h>
#include <stdint.h>

struct scope {
	uint64_t id;		       /* of the subtree's top; 0: no limit */
	char path[HF_CGROUP_PATH_MAX]; /* its directory */
	int fd;			       /* that directory, open; owned; -1: none */
};

/* Reads the subtree from PIN_INFO, as the daemon that attached has written it. */
void scope_open(struct scope *scope, const struct data_plane *plane);
void scope_close(struct scope *scope);

/* Returns whether a socket whose cgroup has that id is in the subtree; true if id is 0: unknown. */
bool scope_has(const struct scope *scope, uint64_t id);

#endif
