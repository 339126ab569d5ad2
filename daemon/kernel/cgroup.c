// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/cgroup.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define FILEID_KERNFS 0xfe /* include/linux/exportfs.h */

struct cgroup_handle {
	struct file_handle handle;
	uint64_t id; /* the bytes of handle.f_handle, a flexible array member */
};
_Static_assert(offsetof(struct cgroup_handle, id) == offsetof(struct file_handle, f_handle),
	       "the id is the handle's bytes");

static int only_a_part(struct error *e)
{
	return error_set(e, EOPNOTSUPP,
			 "the cgroup v2 hierarchy that is mounted here is not the host's root "
			 "(in a container, share the host's cgroup namespace and its "
			 "/sys/fs/cgroup; or name a subtree with --cgroup)");
}

static int mount_here(char *path, size_t size, struct error *e)
{
	uint64_t id;
	int err;

	snprintf(path, size, "%s", CGROUP_OWN_MOUNT);
	if ((mkdir("/run/holdfast", 0755) < 0 && errno != EEXIST) ||
	    (mkdir(CGROUP_OWN_MOUNT, 0755) < 0 && errno != EEXIST) ||
	    mount("cgroup2", CGROUP_OWN_MOUNT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) <
		    0)
		return error_set(
			e, errno == EPERM || errno == EACCES ? EOPNOTSUPP : errno,
			"no cgroup v2 is mounted, and it can't be mounted at %s: %s (in a "
			"container, share "
			"the host's /sys/fs/cgroup; under holdfast.service, a drop-in with "
			"SystemCallFilter=@mount allows it)",
			CGROUP_OWN_MOUNT, strerror(errno));
	/* In a cgroup namespace, mount() gives only that namespace's part of the hierarchy. */
	err = cgroup_id(path, &id, e);
	if (!err && id != CGROUP_ROOT_ID)
		err = only_a_part(e);
	if (err)
		cgroup_unmount_own();
	return err;
}

void cgroup_unmount_own(void)
{
	if (umount2(CGROUP_OWN_MOUNT, UMOUNT_NOFOLLOW) == 0) {
		rmdir(CGROUP_OWN_MOUNT);
		rmdir("/run/holdfast");
	}
}

int cgroup_find_root(char *path, size_t size, bool mount_own, struct error *e)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	bool partial = false;
	int err = -ENOENT;
	uint64_t id;

	if (!mounts)
		return error_set(e, errno, "/proc/self/mounts: %s", strerror(errno));
	while (err && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "cgroup2") != 0 || strlen(mount->mnt_dir) >= size ||
		    cgroup_id(mount->mnt_dir, &id, NULL) < 0)
			continue;
		if (id != CGROUP_ROOT_ID) {
			partial = true;
			continue;
		}
		memcpy(path, mount->mnt_dir, strlen(mount->mnt_dir) + 1);
		err = 0;
	}
	endmntent(mounts);
	if (!err)
		return 0;
	if (partial)
		return only_a_part(e);
	if (mount_own)
		return mount_here(path, size, e);
	return error_set(e, ENOENT, "no cgroup v2 is mounted");
}

int cgroup_id(const char *path, uint64_t *id, struct error *e)
{
	struct cgroup_handle handle = {.handle.handle_bytes = sizeof(handle.id)};
	struct statfs fs;
	int mount_id;

	if (statfs(path, &fs) < 0)
		return error_set(e, errno, "cgroup %s: %s", path, strerror(errno));
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return error_set(e, EINVAL, "%s is not a directory of a cgroup v2 hierarchy", path);
	if (name_to_handle_at(AT_FDCWD, path, &handle.handle, &mount_id, 0) < 0)
		return error_set(e, errno, "cgroup %s: %s", path, strerror(errno));
	*id = handle.id;
	return 0;
}

int cgroup_path(int root_fd, const char *root, uint64_t id, char *path, size_t size)
{
	struct cgroup_handle handle = {
		.handle = {.handle_bytes = sizeof(handle.id), .handle_type = FILEID_KERNFS},
		.id = id,
	};
	_cleanup_close_ int fd = open_by_handle_at(root_fd, &handle.handle, O_PATH | O_CLOEXEC);
	char self[64], target[PATH_MAX];
	size_t root_length = strlen(root);
	ssize_t length;

	if (fd < 0)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	length = readlink(self, target, sizeof(target) - 1);
	if (length < 0)
		return -errno;
	target[length] = '\0';
	if (strncmp(target, root, root_length) != 0)
		return -EXDEV;
	snprintf(path, size, "%s", target[root_length] ? target + root_length : "/");
	return 0;
}
