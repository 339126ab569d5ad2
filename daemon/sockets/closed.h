/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives closed sockets back. A held socket that was reset or disconnected stays the application's,
 * with the rule's values, for as long as it has the descriptor, and can be connected again. Sweeps
 * don't meet it. While a rule would hold it, the sockops program sees to it at the next connect();
 * otherwise it is given back like a connected one.
 */
#ifndef HOLDFAST_SOCKETS_CLOSED_H
#define HOLDFAST_SOCKETS_CLOSED_H

#include "base/log.h"
#include "kernel/data_plane.h"

#include <stddef.h>
#include <stdint.h>

/* How it went with sockets that were to be given back. */
struct given_back {
	size_t restored, failed; /* failed: the kernel refused */
	size_t left;   /* couldn't be reached: no process has them, or none that we may look into */
	uint64_t last; /* cookie of the socket that was restored last */
};

/* Counts what a sweep reports, a struct hf_sweep; `arg` is a struct given_back. Returns 0. */
int given_back_count(const void *record, void *arg);

/*
 * Gives back the held sockets, of all namespaces, that aren't connected any more and that no rule
 * would hold if they were. Returns 0 or negative errno; *closed is filled in either way.
 */
int closed_restore(const struct data_plane *plane, struct given_back *closed, struct error *e);

/* Warns of those that are left, unless there were as many `before`. */
void closed_tell(const struct log *log, const struct given_back *closed, size_t before);

#endif
