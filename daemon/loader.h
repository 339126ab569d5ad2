/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading the BPF programs, as much of them as the kernel takes; install.h puts them in force. */
#ifndef HOLDFAST_LOADER_H
#define HOLDFAST_LOADER_H

#include "../bpf/types.h"
#include "plane.h"

struct bpf_map;
struct holdfast; /* the skeleton: programs and maps */

/* The cgroup to attach to. */
struct loader_target {
	char path[HF_CGROUP_PATH_MAX]; /* as the kernel spells it: paths of sockets begin so */
	uint64_t id;
	bool whole;   /* the hierarchy's root: no limit */
	bool mounted; /* it had to be, for us */
};

/* `cgroup`: its directory; NULL: the hierarchy's root, which is mounted where it isn't. */
int loader_find_target(const char *cgroup, struct loader_target *target, struct error *e);

/*
 * Loads the programs, with `take_over` on the maps that are pinned, so that nothing
 * held is forgotten. *loaded is the caller's, for loader_unload(), and attached nowhere.
 */
int loader_load(const struct plane *plane, const struct loader_target *target, bool take_over,
		struct holdfast **loaded, struct error *e);
void loader_unload(struct holdfast *skeleton);

/* Calls fn for every map that a later daemon takes over. Stops at the first error. */
int loader_each_map(const struct plane *plane, const struct holdfast *skeleton,
		    int (*fn)(const struct plane *plane, struct bpf_map *map, struct error *e),
		    struct error *e);

#endif
