/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cgroup v2: where it is mounted, and which directory an id stands for. */
#ifndef HOLDFAST_CGROUP_H
#define HOLDFAST_CGROUP_H

#include "error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_ROOT_ID 1u /* of the whole hierarchy: kernfs, root inode */

/* Where daemons that find no cgroup v2 mounted mount one of their own. */
#define CGROUP_OWN_MOUNT "/run/holdfast/cgroup"

/*
 * Directory of the mounted cgroup v2 hierarchy's root, in unified and hybrid
 * layouts. With `mount_own`, mounts one where there is none. -ENOENT: there is
 * none. -EXDEV: what is mounted is only a part (we are in a container).
 */
int cgroup_find_root(char *path, size_t size, bool mount_own, struct error *e);

/* Unmounts CGROUP_OWN_MOUNT, if that is there. */
void cgroup_unmount_own(void);

/* The id of a cgroup v2 directory, as sock_diag and BPF have it. Negative errno. */
int cgroup_id(const char *path, uint64_t *id, struct error *e);

/*
 * The path of a cgroup below the hierarchy's root: "/system.slice", "/" for the
 * root itself. root_fd: an open descriptor of the root directory, root: its
 * path. Negative errno; -ESTALE: it has been removed.
 */
int cgroup_path(int root_fd, const char *root, uint64_t id, char *path, size_t size);

#endif
