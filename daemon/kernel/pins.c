// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/pins.h"

#include "base/util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void pins_path(const struct pins *pins, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", pins->sub, name);
}

bool pins_has(const struct pins *pins, const char *name)
{
	char path[PATH_MAX];

	pins_path(pins, name, path, sizeof(path));
	return access(path, F_OK) == 0;
}

int pins_get(const struct pins *pins, const char *name, struct error *e)
{
	char path[PATH_MAX];
	int fd;

	pins_path(pins, name, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd < 0)
		return error_set(e, errno, "%s: %s", path, strerror(errno));
	return fd;
}

static void staged_path(const struct pins *pins, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s" PINS_NEW_SUFFIX, pins->sub, name);
}

int pins_stage(const struct pins *pins, const char *name, int fd, struct error *e)
{
	char staged[PATH_MAX];

	staged_path(pins, name, staged, sizeof(staged));
	unlink(staged); /* left by an interrupted start or reload */
	if (bpf_obj_pin(fd, staged) < 0)
		return error_set(e, errno, "can't pin %s: %s", staged, strerror(errno));
	return 0;
}

int pins_publish(const struct pins *pins, const char *name, struct error *e)
{
	char path[PATH_MAX], staged[PATH_MAX];

	pins_path(pins, name, path, sizeof(path));
	staged_path(pins, name, staged, sizeof(staged));
	if (rename(staged, path) < 0)
		return error_set(e, errno, "can't pin %s: %s", path, strerror(errno));
	return 0;
}

void pins_unstage(const struct pins *pins, const char *name)
{
	char staged[PATH_MAX];

	staged_path(pins, name, staged, sizeof(staged));
	unlink(staged);
}

int pins_put(const struct pins *pins, const char *name, int fd, struct error *e)
{
	char path[PATH_MAX];
	int err;

	/*
	 * Pins in one step if the name is free, so that a link has its final name from the moment
	 * that it is pinned, even if this process is killed then.
	 */
	pins_path(pins, name, path, sizeof(path));
	if (bpf_obj_pin(fd, path) == 0)
		return 0;
	if (errno != EEXIST)
		return error_set(e, errno, "can't pin %s: %s", path, strerror(errno));
	err = pins_stage(pins, name, fd, e);
	if (err)
		return err;
	err = pins_publish(pins, name, e);
	if (err)
		pins_unstage(pins, name);
	return err;
}

int pins_drop(const struct pins *pins, const char *name, struct error *e)
{
	char path[PATH_MAX];

	pins_path(pins, name, path, sizeof(path));
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set(e, errno, "can't remove %s: %s", path, strerror(errno));
	return 0;
}

/* Removes a folder of pins, first the link of hf_sockops, which keeps holdfast attached. */
static int remove_sub(const char *sub, struct error *e)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" PIN_SOCKOPS, sub);
	unlink(path);
	dir = opendir(sub);
	if (!dir)
		return errno == ENOENT ? 0 : error_set(e, errno, "%s: %s", sub, strerror(errno));
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			return error_set(e, errno, "can't remove %s/%s: %s", sub, entry->d_name,
					 strerror(errno));
		rewinddir(dir);
	}
	if (rmdir(sub) < 0)
		return error_set(e, errno, "can't remove %s: %s", sub, strerror(errno));
	return 0;
}

int pins_remove(struct pins *pins, bool dir, struct error *e)
{
	int err;

	pins_choose_folder(pins, true);
	err = remove_sub(pins->sub, e);
	pins_choose_folder(pins, false);
	if (!err)
		err = remove_sub(pins->sub, e);
	if (!err && dir)
		rmdir(pins->dir); /* fails, as it should, if anything else is in it */
	return err;
}

int pins_remove_folder(const struct pins *pins, struct error *e)
{
	return remove_sub(pins->sub, e);
}

int pins_begin(struct pins *pins, struct error *e)
{
	int err;

	pins_choose_folder(pins, true);
	err = remove_sub(pins->sub, e);
	if (!err && mkdir(pins->sub, 0700) < 0)
		err = error_set(e, errno, "can't make %s: %s", pins->sub, strerror(errno));
	if (err)
		pins_choose_folder(pins, false);
	return err;
}

int pins_commit(struct pins *pins, struct error *e)
{
	char new[sizeof(pins->sub)];

	memcpy(new, pins->sub, sizeof(new));
	pins_choose_folder(pins, false);
	if (rename(new, pins->sub) < 0) {
		pins_choose_folder(pins, true);
		return error_set(e, errno, "can't move %s into place: %s", new, strerror(errno));
	}
	return 0;
}
