/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens, makes and locks the pin dir, and says which process has it locked. pins.h lists what is in
 * it.
 */
#ifndef HOLDFAST_KERNEL_PIN_DIR_H
#define HOLDFAST_KERNEL_PIN_DIR_H

#include "base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define PINS_DEFAULT_DIR "/sys/fs/bpf/holdfast"

struct pins {
	char dir[PATH_MAX / 4]; /* the pin dir */
	char sub[PATH_MAX / 2]; /* the folder of this layout in the pin dir */
	int fd;			/* the pin dir; owned */
	bool made_dir;		/* pins_lock() made the pin dir, now or in an earlier process */
	bool mounted_bpffs;	/* pins_lock() mounted /sys/fs/bpf */
};

#define PINS_INIT                                                                                  \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * Opens the pin dir to read it. Returns 0; -ENOENT if it is missing or empty: nothing is attached;
 * -EPROTO if it has only pins of another version of holdfast; -EACCES without permission; -EPERM
 * if others than root and this user can write there; or another negative errno.
 */
int pins_open(struct pins *pins, const char *dir, struct error *e);

/*
 * Opens the pin dir to change it, and locks it. Makes it if it is missing. Mounts a bpffs at
 * /sys/fs/bpf if none is there and the pin dir lies directly in that folder. Waits up to ten
 * seconds for a `holdfast` command that has the lock. Returns 0; -EBUSY if another process has the
 * lock, which e names; or another negative errno.
 */
int pins_lock(struct pins *pins, const char *dir, struct error *e);

/*
 * Calls fn for every folder of another layout that an older or newer holdfast has left in the pin
 * dir. Stops when fn returns non-zero, and returns that; else 0 or negative errno.
 */
int pins_each_other(const struct pins *pins, int (*fn)(struct pins *other, void *arg), void *arg,
		    struct error *e);

/* Returns whether the folder pins->sub exists. */
bool pins_exist(const struct pins *pins);

/*
 * Sets pins->sub to the folder of this layout, or if `new` is true, to the one in which a new set
 * of pins is made before it takes that folder's place.
 */
#define PINS_NEW_SUFFIX "_new" /* bpffs allows no dots in names */
void pins_choose_folder(struct pins *pins, bool new);

/* Closes the pin dir, and with that gives up the lock. Safe on PINS_INIT. */
void pins_close(struct pins *pins);

/*
 * Returns the process that holds the lock, as /proc/locks has it, or 0 if none does. Takes some
 * 10 ms, since the kernel waits for all CPUs before it shows its list of locks.
 */
pid_t pins_holder(const struct pins *pins);

/* Writes the command name of a process, escaped, to `text`. Returns text. */
#define PINS_NAME_MAX	 32
#define PINS_PROCESS_MAX (4 * PINS_NAME_MAX + 1)
const char *pins_name_process(pid_t pid, char text[PINS_PROCESS_MAX]);

/* Returns whether that process holds the lock; false if that can't be found out. */
bool pins_held_by(const struct pins *pins, pid_t pid);

#endif
