/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads as many of the BPF programs as the running kernel takes. startup.h puts them in force. */
#ifndef HOLDFAST_KERNEL_LOADER_H
#define HOLDFAST_KERNEL_LOADER_H

#include "bpf/types.h"
#include "kernel/data_plane.h"

struct bpf_map;
struct holdfast; /* the skeleton: programs and maps */

/* The cgroup to attach to. */
struct loader_target {
	char path[HF_CGROUP_PATH_MAX]; /* as the kernel spells it: paths of sockets begin so */
	uint64_t id;
	bool whole;   /* the cgroup is the hierarchy's root: no limit */
	bool mounted; /* loader_find_target() has mounted the hierarchy */
};

/*
 * Finds the cgroup to attach to. `cgroup` is its directory; NULL stands for the hierarchy's root,
 * which is mounted if it isn't yet. Returns 0 or negative errno.
 */
int loader_find_target(const char *cgroup, struct loader_target *target, struct error *e);

/*
 * Loads the programs and attaches none of them. With `take_over` it uses the maps that are pinned,
 * and with them the records of held sockets. *loaded is the caller's, who frees it with
 * loader_unload(). Returns 0 or negative errno.
 */
int loader_load(const struct data_plane *plane, const struct loader_target *target, bool take_over,
		struct holdfast **loaded, struct error *e);
void loader_unload(struct holdfast *skeleton);

/* Whether hf_sockops reports the ends of connections, as the loaded programs were told. */
bool loader_tells_by_sockops(const struct holdfast *skeleton);

/*
 * Calls fn for every map that a later daemon takes over. Stops at the first error and returns
 * it.
 */
int loader_each_map(const struct data_plane *plane, const struct holdfast *skeleton,
		    int (*fn)(const struct data_plane *plane, struct bpf_map *map, struct error *e),
		    struct error *e);

#endif
