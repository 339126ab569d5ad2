/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data plane: the pinned maps and iterators that enforce. Everything here
 * works on the pins alone, so that the daemon and the command (also when the
 * daemon is dead) do the same thing in the same way. Loading: install.h.
 */
#ifndef HOLDFAST_PLANE_H
#define HOLDFAST_PLANE_H

#include "iter.h"
#include "netns.h"
#include "pins.h"
#include "rules.h"

/* Called between the pieces of long work, a network namespace each. Non-zero: no more. */
struct progress {
	int (*tick)(void *arg); /* NULL: nobody asks */
	void *arg;
};

struct plane {
	struct pins pins;
	struct progress progress; /* of whoever works with it */
	int rules_fd;		  /* owned */
	int info_fd;		  /* owned */
};

#define PLANE_INIT                                                                                 \
	{                                                                                          \
		.pins = PINS_INIT, .rules_fd = -1, .info_fd = -1                                   \
	}

static inline int plane_tick(const struct plane *plane)
{
	return plane->progress.tick ? plane->progress.tick(plane->progress.arg) : 0;
}

/* Opens what is pinned, to read. -ENOENT: nothing is attached. -EACCES, -EPERM. */
int plane_open(struct plane *plane, const char *pin_dir, struct error *e);

/* Opens the maps once plane->pins is set. */
int plane_open_maps(struct plane *plane, struct error *e);

/* Closes descriptors; what is pinned goes on. Safe on PLANE_INIT. */
void plane_close(struct plane *plane);

/* Whether the hook is attached, as the pinned link says: 1 or 0; negative errno: not known. */
int plane_attached(const struct plane *plane, struct error *e);

int plane_get_info(const struct plane *plane, struct hf_info *info, struct error *e);
int plane_set_info(const struct plane *plane, const struct hf_info *info, struct error *e);

/* A text that is kept in a pinned map of its own, with a number to tell versions apart. */
struct plane_text {
	uint64_t number;
	int status; /* whatever the writer wants to say with it */
	char *text; /* without NULs; the caller's to free after plane_get_text() */
};

int plane_put_text(const struct plane *plane, const char *name, const struct plane_text *text,
		   struct error *e);

/* -ENOENT: there is none. */
int plane_get_text(const struct plane *plane, const char *name, struct plane_text *text,
		   struct error *e);

/*
 * How reloads are numbered in the text PIN_RELOAD: odd while one is under way (the text is still
 * the one before's), even when it has ended. Returns the number at the end of the next one that
 * begins. By no clock: the daemon may be in a time namespace, time_namespaces(7).
 */
static inline uint64_t reload_number(uint64_t now)
{
	return now + 2 + now % 2;
}

/*
 * Puts these rules in force in one step: a connection sees the old rules or the
 * new, never a mix or none. Keeps the configuration's text beside them for
 * status and explain. On failure the old rules stay. info->generation is set.
 */
int plane_put_rules(struct plane *plane, const struct config *config, uint32_t generation,
		    struct error *e);

/* The trie in force: a descriptor, the caller's. -ENOENT: there is none. */
int plane_current_trie(const struct plane *plane, struct error *e);

/* Puts no rules in force: new connections are left alone, and a sweep restores. */
int plane_drop_rules(const struct plane *plane, struct error *e);

/*
 * The configuration that is kept beside the rules, and its generation. The
 * caller frees config. Where a rule of the trie has another generation, a
 * reload is under way, or was when the daemon died: then try the other of the
 * two, the staged one.
 */
int plane_get_config(const struct plane *plane, bool staged, struct config *config,
		     uint32_t *generation, struct error *e);

/* The rule that the kernel's trie has for a flow. False: none. */
bool plane_match(const struct plane *plane, const struct hf_flow *flow, struct hf_rule *rule,
		 enum hf_side *side);

/*
 * Runs a pinned TCP iterator (PIN_SWEEP, PIN_MATCHED) over the sockets of one
 * namespace. What fn returned if that isn't 0, or negative errno.
 */
int plane_iterate(const struct plane *plane, const char *iterator, const struct netns *ns,
		  size_t record_size, iter_fn fn, void *arg, struct error *e);

/*
 * The same over the sockets of all of these namespaces: by one iterator that sees all, or where
 * the kernel doesn't have that, by one that sees those of a namespace (PIN_HELD and
 * PIN_HELD_HERE, PIN_SETTLED and PIN_SETTLED_HERE). A namespace that has gone is left out.
 */
int plane_iterate_all(const struct plane *plane, const char *all, const char *here,
		      const struct netns_list *namespaces, size_t record_size, iter_fn fn,
		      void *arg, struct error *e);

/*
 * The way out: no rules, detached, every held socket as its application had it,
 * pins removed; with remove_dir the pin dir too. *restored and *left count the
 * sockets that were given back and those that could not be reached or refused. Needs the
 * pin dir locked. Goes as far as it can and reports the first error.
 */
int plane_release(struct plane *plane, bool remove_dir, size_t *restored, size_t *left,
		  struct error *e);

/*
 * Lets go of what versions of holdfast with another layout have left in the pin
 * dir: their rules, then what their sockets were given, their hooks, and their
 * pins. Ours is attached by then, and the next reconcile pass holds the sockets
 * again. Nothing where there are none. On failure theirs are in force again.
 */
int plane_release_others(const struct plane *plane, struct error *e);

#endif
