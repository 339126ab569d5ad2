// SPDX-License-Identifier: GPL-2.0-or-later
#include "pins.h"

#include "../bpf/types.h"
#include "text.h"
#include "util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>

#define BPFFS	      "/sys/fs/bpf"
#define LAYOUT_PREFIX "layout-"
#define NEW_SUFFIX    "_new" /* bpffs allows no dots in names */

/* So long a pin dir is waited for that `holdfast release` has. */
#define LOCK_WAIT_MS  10000
#define LOCK_PAUSE_MS 20

/*
 * A pin dir of our making has the sticky bit, which says nothing else where only root can
 * write. It comes with the folder: whoever releases it knows, also where its maker was killed.
 */
#define MADE_BY_US S_ISVTX

static void set_paths(struct pins *pins, bool new)
{
	snprintf(pins->sub, sizeof(pins->sub), "%s/" LAYOUT_PREFIX "%d%s", pins->dir, HF_LAYOUT,
		 new ? NEW_SUFFIX : "");
}

static int set_dir(struct pins *pins, const char *dir, struct error *e)
{
	size_t length = strlen(dir);

	while (length > 1 && dir[length - 1] == '/')
		length--;
	if (length == 0 || length >= sizeof(pins->dir))
		return error_set(e, EINVAL, "not a pin dir: '%s'", dir);
	memcpy(pins->dir, dir, length);
	pins->dir[length] = '\0';
	set_paths(pins, false);
	return 0;
}

int pins_each_other(const struct pins *pins, int (*fn)(struct pins *other, void *arg), void *arg,
		    struct error *e)
{
	_cleanup_closedir_ DIR *dir = opendir(pins->dir);
	struct dirent *entry;
	struct pins other;
	int err = 0, layout;
	char end;

	if (!dir)
		return error_set(e, errno, "%s: %s", pins->dir, strerror(errno));
	while (!err && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, LAYOUT_PREFIX "%d%c", &layout, &end) != 1 ||
		    layout == HF_LAYOUT)
			continue;
		other = *pins;
		snprintf(other.sub, sizeof(other.sub), "%s/%s", pins->dir, entry->d_name);
		err = fn(&other, arg);
	}
	return err;
}

static int is_there(struct pins *other, void *arg)
{
	(void)other;
	(void)arg;
	return 1;
}

/* Whoever else could write there could put programs and maps of his own in the place of ours. */
static int check_owner(const struct pins *pins, struct error *e)
{
	struct stat st;

	if (fstat(pins->fd, &st) < 0)
		return error_set(e, errno, "%s: %s", pins->dir, strerror(errno));
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(e, EPERM,
				 "the pin dir %s belongs to user %u, who can change what is in it "
				 "(remove it, or chown root)",
				 pins->dir, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(e, EPERM, "the pin dir %s can be written by %s (chmod go-w)",
				 pins->dir, st.st_mode & S_IWOTH ? "anyone" : "its group");
	return 0;
}

int pins_open(struct pins *pins, const char *dir, struct error *e)
{
	int err;

	*pins = (struct pins)PINS_INIT;
	err = set_dir(pins, dir, e);
	if (err)
		return err;
	pins->fd = open(pins->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pins->fd < 0)
		return error_set(e, errno, "%s: %s", pins->dir, strerror(errno));
	err = check_owner(pins, e);
	if (!err && pins_exist(pins))
		return 0;
	if (!err)
		err = error_set(e, errno, "%s: %s", pins->sub, strerror(errno));
	if (err == -ENOENT && pins_each_other(pins, is_there, NULL, NULL))
		err = error_set(e, EPROTO,
				"%s holds the state of another version of holdfast (restart the "
				"daemon, or use that version's command)",
				pins->dir);
	pins_close(pins);
	return err;
}

/* 1 or 0; negative errno: not known. */
static int on_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) < 0 ? -errno : fs.f_type == BPF_FS_MAGIC;
}

/* -EAGAIN: someone has removed it meanwhile. */
static int make_dir(struct pins *pins, struct error *e)
{
	char copy[sizeof(pins->dir)];
	const char *parent;
	int on;

	memcpy(copy, pins->dir, sizeof(copy));
	parent = dirname(copy);
	if (strcmp(parent, BPFFS) == 0 && on_bpffs(BPFFS) <= 0) {
		if (mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME,
			  "mode=700") < 0)
			return error_set(e, errno, "can't mount a bpffs at " BPFFS ": %s",
					 strerror(errno));
		pins->mounted_bpffs = true;
	}
	if (mkdir(pins->dir, 0700 | MADE_BY_US) == 0)
		pins->made_dir = true;
	else if (errno != EEXIST)
		return error_set(e, errno, "can't make the pin dir %s: %s", pins->dir,
				 strerror(errno));
	on = on_bpffs(pins->dir);
	if (on > 0)
		return 0;
	if (on == -ENOENT)
		return -EAGAIN;
	if (pins->made_dir)
		rmdir(pins->dir);
	if (on < 0)
		return error_set(e, -on, "%s: %s", pins->dir, strerror(-on));
	return error_set(e, EINVAL, "%s is not on a bpffs (mount one: mount -t bpf bpf DIR)",
			 pins->dir);
}

const char *pins_name_process(pid_t pid, char text[PINS_PROCESS_MAX])
{
	char path[64], name[PINS_NAME_MAX] = "another process";
	FILE *comm;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	comm = fopen(path, "re");
	if (comm) {
		if (fscanf(comm, "%31[^\n]", name) != 1)
			strcpy(name, "a process");
		fclose(comm);
	}
	return text_escape(text, PINS_PROCESS_MAX, name, strlen(name));
}

static int busy(const struct pins *pins, pid_t holder, struct error *e)
{
	char name[PINS_PROCESS_MAX];

	return error_set(e, EBUSY, "%s is in use by %s, process %d", pins->dir,
			 pins_name_process(holder, name), (int)holder);
}

/* A command is done in a moment, and who has gone meanwhile has nothing any more. */
static bool worth_waiting(pid_t holder)
{
	char name[PINS_PROCESS_MAX];

	return !holder || strcmp(pins_name_process(holder, name), "holdfast") == 0;
}

int pins_lock(struct pins *pins, const char *dir, struct error *e)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000L * 1000};
	struct stat opened, named;
	unsigned waited_ms = 0;
	pid_t holder;
	int err;

	*pins = (struct pins)PINS_INIT;
	err = set_dir(pins, dir, e);
	if (err)
		return err;
	for (;;) {
		err = make_dir(pins, e);
		if (err == -EAGAIN)
			continue;
		if (err)
			return err;
		pins->fd = open(pins->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (pins->fd < 0 && errno == ENOENT)
			continue;
		if (pins->fd < 0)
			return error_set(e, errno, "%s: %s", pins->dir, strerror(errno));
		err = check_owner(pins, e); /* first: he may well have the lock, too */
		if (err) {
			pins_close(pins);
			return err;
		}
		if (flock(pins->fd, LOCK_EX | LOCK_NB) < 0) {
			err = errno;
			holder = pins_holder(pins);
			pins_close(pins);
			if (err != EWOULDBLOCK && pins->made_dir)
				rmdir(pins->dir);
			if (err != EWOULDBLOCK)
				return error_set(e, err, "can't lock %s: %s", pins->dir,
						 strerror(err));
			if (!worth_waiting(holder) || waited_ms >= LOCK_WAIT_MS)
				return busy(pins, holder, e);
			nanosleep(&pause, NULL);
			waited_ms += LOCK_PAUSE_MS;
			continue;
		}
		/* Whoever had it may have removed it between our open and our lock. */
		if (fstat(pins->fd, &opened) == 0 && stat(pins->dir, &named) == 0 &&
		    opened.st_dev == named.st_dev && opened.st_ino == named.st_ino) {
			pins->made_dir = pins->made_dir || opened.st_mode & MADE_BY_US;
			return 0;
		}
		pins_close(pins);
	}
}

void pins_close(struct pins *pins)
{
	if (pins->fd >= 0)
		close(pins->fd);
	pins->fd = -1;
}

/* How the kernel names the pin dir in lists of locks. */
#define LOCKED_MAX 64

static int locked(const struct pins *pins, char text[LOCKED_MAX])
{
	struct stat st;

	if (fstat(pins->fd, &st) < 0)
		return -errno;
	snprintf(text, LOCKED_MAX, "%02x:%02x:%ju", major(st.st_dev), minor(st.st_dev),
		 (uintmax_t)st.st_ino);
	return 0;
}

/*
 * Finds our lock in such a list; the process that has it, or 0. "1: FLOCK  ADVISORY  WRITE 812
 * 00:1d:77 0 EOF": who waits for it has "->" there; fdinfo has "lock:" before it.
 */
static pid_t find_lock(FILE *locks, const char *wanted)
{
	char line[256], where[LOCKED_MAX];
	int pid;

	while (fgets(line, sizeof(line), locks)) {
		const char *lock = strncmp(line, "lock:", 5) == 0 ? line + 5 : line;

		if (sscanf(lock, "%*s FLOCK %*s WRITE %d %63s", &pid, where) == 2 &&
		    strcmp(where, wanted) == 0)
			return pid;
	}
	return 0;
}

pid_t pins_holder(const struct pins *pins)
{
	_cleanup_fclose_ FILE *locks = fopen("/proc/locks", "re");
	char wanted[LOCKED_MAX];

	return locks && locked(pins, wanted) == 0 ? find_lock(locks, wanted) : 0;
}

bool pins_held_by(const struct pins *pins, pid_t pid)
{
	char wanted[LOCKED_MAX], path[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
	dir = opendir(path);
	if (!dir || locked(pins, wanted) < 0) {
		if (dir)
			closedir(dir);
		return false;
	}
	while (!found && (entry = readdir(dir))) {
		int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
		_cleanup_fclose_ FILE *info = fd < 0 ? NULL : fdopen(fd, "r");

		if (info)
			found = find_lock(info, wanted) != 0;
		else if (fd >= 0)
			close(fd);
	}
	closedir(dir);
	return found;
}

void pins_path(const struct pins *pins, const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", pins->sub, name);
}

bool pins_exist(const struct pins *pins)
{
	return access(pins->sub, F_OK) == 0;
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
	snprintf(path, size, "%s/%s" NEW_SUFFIX, pins->sub, name);
}

int pins_stage(const struct pins *pins, const char *name, int fd, struct error *e)
{
	char staged[PATH_MAX];

	staged_path(pins, name, staged, sizeof(staged));
	unlink(staged); /* of a start that was interrupted */
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

	/* In one step where nothing is in the way: killed after it, what is attached shows. */
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

/* Removes a folder of pins. The link goes first: it is what attaches us. */
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

	set_paths(pins, true);
	err = remove_sub(pins->sub, e);
	set_paths(pins, false);
	if (!err)
		err = remove_sub(pins->sub, e);
	if (!err && dir)
		rmdir(pins->dir); /* stays where someone else put something in it */
	return err;
}

int pins_remove_folder(const struct pins *pins, struct error *e)
{
	return remove_sub(pins->sub, e);
}

int pins_begin(struct pins *pins, struct error *e)
{
	int err;

	set_paths(pins, true);
	err = remove_sub(pins->sub, e);
	if (!err && mkdir(pins->sub, 0700) < 0)
		err = error_set(e, errno, "can't make %s: %s", pins->sub, strerror(errno));
	if (err)
		set_paths(pins, false);
	return err;
}

int pins_commit(struct pins *pins, struct error *e)
{
	char new[sizeof(pins->sub)];

	memcpy(new, pins->sub, sizeof(new));
	set_paths(pins, false);
	if (rename(new, pins->sub) < 0) {
		set_paths(pins, true);
		return error_set(e, errno, "can't move %s into place: %s", new, strerror(errno));
	}
	return 0;
}
