/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pin dir: where on the bpffs our maps, links and iterators are, and which
 * process has it.
 *
 *   PIN-DIR/                  locked (flock) by the daemon for as long as it runs
 *   PIN-DIR/layout-N/         N: HF_LAYOUT of types.h
 *       hf_rules hf_gate hf_sockets hf_info                         maps
 *       hf_counters hf_ends hf_targets hf_wanted hf_listeners       maps
 *       hf_config hf_reload   maps with a text: the rules, how the last reload went
 *       hf_daemon             what the daemon has counted
 *       hf_survey hf_sweep hf_probe hf_held hf_settled hf_matched   iterators
 *       hf_owners hf_holders hf_strays hf_tasks                     iterators
 *       hf_held_here hf_settled_here hf_look_here   in place of those without "here", on
 *                             kernels that refuse iterators over maps
 *       hf_look               in place of hf_sweep and hf_probe, on kernels before 5.15
 *       hf_guard_program      to attach when the rules come to need it
 *       hf_ended_program      to attach where other programs keep hf_sockops from hearing of ends,
 *                             and to attach again
 *       hf_ended hf_guard     links
 *       hf_sockops            the link; while it is here, we are attached
 */
#ifndef HOLDFAST_PINS_H
#define HOLDFAST_PINS_H

#include "error.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define PINS_DEFAULT_DIR "/sys/fs/bpf/holdfast"

#define PIN_RULES	  "hf_rules"
#define PIN_GATE	  "hf_gate"
#define PIN_SOCKETS	  "hf_sockets"
#define PIN_INFO	  "hf_info"
#define PIN_CONFIG	  "hf_config"
#define PIN_CONFIG_STAGED "hf_config_new"
#define PIN_RELOAD	  "hf_reload"
#define PIN_DAEMON	  "hf_daemon"
#define PIN_TARGETS	  "hf_targets"
#define PIN_PROBE	  "hf_probe"
#define PIN_COUNTERS	  "hf_counters"
#define PIN_ENDS	  "hf_ends"
#define PIN_SURVEY	  "hf_survey"
#define PIN_SWEEP	  "hf_sweep"
#define PIN_HELD	  "hf_held"
#define PIN_HELD_HERE	  "hf_held_here"
#define PIN_SETTLED	  "hf_settled"
#define PIN_SETTLED_HERE  "hf_settled_here"
#define PIN_MATCHED	  "hf_matched"
#define PIN_OWNERS	  "hf_owners"
#define PIN_HOLDERS	  "hf_holders"
#define PIN_WANTED	  "hf_wanted"
#define PIN_LISTENERS	  "hf_listeners"
#define PIN_STRAYS	  "hf_strays"
#define PIN_TASKS	  "hf_tasks"
#define PIN_LOOK	  "hf_look"
#define PIN_LOOK_HERE	  "hf_look_here"
#define PIN_ENDED	  "hf_ended"
#define PIN_ENDED_PROGRAM "hf_ended_program"
#define PIN_GUARD	  "hf_guard"
#define PIN_GUARD_PROGRAM "hf_guard_program"
#define PIN_SOCKOPS	  "hf_sockops"

struct pins {
	char dir[PATH_MAX / 4]; /* the pin dir */
	char sub[PATH_MAX / 2]; /* the folder of this layout in it */
	int fd;			/* the pin dir; owned */
	bool made_dir;		/* pins_lock() made it, now or before */
	bool mounted_bpffs;	/* pins_lock() mounted /sys/fs/bpf */
};

#define PINS_INIT                                                                                  \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * Opens the pin dir to read. -ENOENT: there is none, nothing is attached. -EPROTO:
 * there is only what another version of holdfast has left. -EACCES, -EPERM.
 */
int pins_open(struct pins *pins, const char *dir, struct error *e);

/*
 * Opens the pin dir to change it: makes it where it is missing, mounts bpffs at
 * /sys/fs/bpf where that is missing (for the default pin dir only), and locks
 * it; where `holdfast release` has it, waits for that. -EBUSY: another process has it, and e
 * names it.
 */
int pins_lock(struct pins *pins, const char *dir, struct error *e);

/*
 * Calls fn for every folder of another layout that an older or newer holdfast
 * has left in the pin dir. Stops at the first error and returns it.
 */
int pins_each_other(const struct pins *pins, int (*fn)(struct pins *other, void *arg), void *arg,
		    struct error *e);

/* Gives up what the other two opened. Safe on PINS_INIT. */
void pins_close(struct pins *pins);

/*
 * The process that holds the lock, as /proc/locks has it. 0: none. It takes some 10 ms: the
 * kernel waits for all CPUs before it shows its list.
 */
pid_t pins_holder(const struct pins *pins);

/* Its command name, escaped: returns text. */
#define PINS_NAME_MAX	 32
#define PINS_PROCESS_MAX (4 * PINS_NAME_MAX + 1)
const char *pins_name_process(pid_t pid, char text[PINS_PROCESS_MAX]);

/* Whether that process does. False also where that can't be seen. */
bool pins_held_by(const struct pins *pins, pid_t pid);

/* Path of a pin. size: PATH_MAX. */
void pins_path(const struct pins *pins, const char *name, char *path, size_t size);

/* Whether this layout's folder, or a pin in it, is there. */
bool pins_exist(const struct pins *pins);
bool pins_has(const struct pins *pins, const char *name);

/* A descriptor for a pinned map or link, the caller's to close. Negative errno. */
int pins_get(const struct pins *pins, const char *name, struct error *e);

/* Pins under that name, in place of whatever was there, in one step. */
int pins_put(const struct pins *pins, const char *name, int fd, struct error *e);

/*
 * The same in two steps, for what has to happen between them: pinned beside the
 * old one under another name, then moved into its place or taken away again.
 */
int pins_stage(const struct pins *pins, const char *name, int fd, struct error *e);
int pins_publish(const struct pins *pins, const char *name, struct error *e);
void pins_unstage(const struct pins *pins, const char *name);

/* Removes one pin; a missing one is no error. */
int pins_drop(const struct pins *pins, const char *name, struct error *e);

/*
 * Removes every pin of this layout, half-made ones of a start that was
 * interrupted too; with `dir` also the pin dir itself, if it is empty then.
 */
int pins_remove(struct pins *pins, bool dir, struct error *e);

/* The folder alone, of whatever layout. */
int pins_remove_folder(const struct pins *pins, struct error *e);

/* Makes the folder for a new set of pins beside the final one... */
int pins_begin(struct pins *pins, struct error *e);
/* ...and moves it into its place. Until then pins_put() goes to the former. */
int pins_commit(struct pins *pins, struct error *e);

#endif
