// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/pin_dir.h"

#include "base/text.h"
#include "base/util.h"
#include "bpf/types.h"

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

/* How long, and in which steps, pins_lock() waits for a `holdfast` command that has the lock. */
#define LOCK_WAIT_MS  10000
#define LOCK_PAUSE_MS 20

/*
 * The sticky bit marks a pin dir that holdfast has made; it has no other effect in a folder that
 * only root can write to. It is set as the folder is made, so that a later release knows it even
 * if the daemon that made the folder was killed.
 */
#define MADE_BY_US S_ISVTX

void pins_choose_folder(struct pins *pins, bool new)
{
	snprintf(pins->sub, sizeof(pins->sub), "%s/" LAYOUT_PREFIX "%d%s", pins->dir, HF_LAYOUT,
		 new ? PINS_NEW_SUFFIX : "");
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
	pins_choose_folder(pins, false);
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

/*
 * Checks that nobody but root and this user can write to the pin dir, since others could put
 * programs and maps of their own in place of holdfast's. Returns 0 or negative errno, -EPERM if
 * others can.
 */
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

bool pins_exist(const struct pins *pins)
{
	return access(pins->sub, F_OK) == 0;
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

/* Returns 1 if the path is on a bpffs, 0 if not, or negative errno. */
static int on_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) < 0 ? -errno : fs.f_type == BPF_FS_MAGIC;
}

/*
 * Makes the pin dir if it is missing, and mounts a bpffs for it if needed. Returns 0, -EAGAIN if
 * another process has removed the pin dir meanwhile, or another negative errno.
 */
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
			return error_set(
				e, errno == EPERM || errno == EACCES ? EOPNOTSUPP : errno,
				"no bpffs is mounted at " BPFFS
				", and it can't be mounted there: %s (systemd mounts it at "
				"boot; mount -t bpf bpf " BPFFS " does it now)",
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

/*
 * Returns whether the lock is likely to become free soon: its holder is a `holdfast` command, which
 * ends soon, or is gone already.
 */
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
		err = check_owner(pins, e); /* before the lock, which another owner may hold */
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
		/* The former holder may have removed the pin dir between open() and flock(). */
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

#define LOCKED_MAX 64

/* Writes the name that the pin dir has in the kernel's lists of locks. Returns 0 or -errno. */
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
 * Finds the pin dir's lock in /proc/locks or an fdinfo file. Returns the process that holds the
 * lock, or 0. A line is "1: FLOCK  ADVISORY  WRITE 812 00:1d:77 0 EOF". One of a process that waits
 * for the lock has "->" after the number, and fdinfo has "lock:" before it.
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
