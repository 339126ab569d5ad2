/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the cgroup v2 hierarchy, and translates between its directories and cgroup ids. */
#ifndef HOLDFAST_KERNEL_CGROUP_H
#define HOLDFAST_KERNEL_CGROUP_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_ROOT_ID 1u /* id of the hierarchy's root: the inode of kernfs' root */

/* Where a daemon that finds no cgroup v2 mounted mounts one of its own. */
#define CGROUP_OWN_MOUNT "/run/holdfast/cgroup"

/*
 * Finds the directory where the root of the cgroup v2 hierarchy is mounted, in unified and hybrid
 * layouts. If none is mounted and `mount_own` is true, mounts it at CGROUP_OWN_MOUNT. Returns 0;
 * -ENOENT if none is mounted; -EOPNOTSUPP if only a part of the hierarchy is mounted, as in a
 * container; or another negative errno.
 */
int cgroup_find_root(char *path, size_t size, bool mount_own, struct error *e);

/* Unmounts CGROUP_OWN_MOUNT and removes its folders. Does nothing if it isn't mounted. */
void cgroup_unmount_own(void);

/*
 * Gets the id of a cgroup v2 directory, the one that sock_diag and BPF use. Returns 0 or negative
 * errno, -EINVAL if the directory isn't one of cgroup v2.
 */
int cgroup_id(const char *path, uint64_t *id, struct error *e);

/*
 * Gets the path of the cgroup with that id relative to a root directory, whose descriptor is
 * root_fd and whose path is root: "/system.slice", or "/" for the root itself. Returns 0 or
 * negative errno, -ESTALE if the cgroup has been removed.
 */
int cgroup_path(int root_fd, const char *root, uint64_t id, char *path, size_t size);

#endif
