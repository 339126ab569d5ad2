/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the rules learn of the windows of their paths: collects the evidence that rules/window.h
 * judges, keeps what was learned in a pinned map, and gives rules with `window = auto` the
 * keepalive time that follows from it.
 */
#ifndef HOLDFAST_SOCKETS_WINDOWS_H
#define HOLDFAST_SOCKETS_WINDOWS_H

#include "base/log.h"
#include "base/u64_set.h"
#include "bpf/types.h"
#include "kernel/data_plane.h"
#include "rules/host_window.h"
#include "rules/rules.h"
#include "rules/window.h"

struct windows; /* opaque */

/* log and plane must outlive it. Returns NULL if memory is short. */
struct windows *windows_new(const struct log *log, const struct data_plane *plane);
void windows_free(struct windows *windows);

/* Takes up what an earlier daemon has pinned there, if anything. For windows_prepare(). */
void windows_take_over(struct windows *windows, const struct data_plane *earlier);

/*
 * Sets the times in force of a configuration that was read anew. A rule whose text is the same as
 * before keeps what it has learned. One of the other two has to follow: from windows_commit() on
 * this is the configuration in force; windows_drop() forgets it. Returns 0 or -ENOMEM.
 */
int windows_prepare(struct windows *windows, struct config *config, struct error *e);
void windows_commit(struct windows *windows);
void windows_drop(struct windows *windows);

/*
 * Opens or makes the pinned map in the data plane, which has to be committed, and writes what is
 * known to it. Returns 0 or negative errno; then nothing is kept beyond this daemon.
 */
int windows_open(struct windows *windows, struct error *e);

/*
 * Looks at held sockets for gaps that were survived, and for new connections to peers that have
 * lost some; once a minute asks what this host itself forgets. config is the one in force; rules
 * to which another time applies now get it there.
 * Returns 1 if that has happened, so that the caller puts config in force, 0 if not, or negative
 * errno.
 */
int windows_look(struct windows *windows, struct config *config, uint32_t generation,
		 struct error *e);

/* Takes the end of a held connection into account. */
void windows_ended(struct windows *windows, struct config *config, const struct hf_ended *ended);

/* Some held connections of these rules (their indices in the configuration) may have a new path. */
void windows_moved(struct windows *windows, struct config *config, const struct u64_set *rules);

/* Whether a connection was forgotten, and a look may say more. */
bool windows_pending(const struct windows *windows);

/* Returns a descriptor of the pinned map, the caller's to close, or negative errno. */
int windows_map(const struct data_plane *plane);

/* Reads what a rule has learned from such a map. Zeros if nothing was. */
void windows_read(int map, const struct rule *rule, struct window *window,
		  struct host_window *host);

/* Shortens the times of a rule with `window = auto` to what this host itself would forget after. */
void windows_bound(struct rule *rule, const struct host_window *host);

#endif
