/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logs the ends of held connections as the kernel reports them, one line each. To the application
 * all ends look alike; the line tells the cause.
 */
#ifndef HOLDFAST_SOCKETS_CONNECTION_ENDS_H
#define HOLDFAST_SOCKETS_CONNECTION_ENDS_H

#include "base/log.h"
#include "host/owners.h"
#include "kernel/data_plane.h"
#include "rules/rules.h"

struct connection_ends; /* opaque */

/*
 * Opens the ring buffer of ends; connection_ends_close() frees it. log and plane must outlive it.
 * Returns 0 or a negative errno.
 */
int connection_ends_open(struct connection_ends **ends, const struct log *log,
			 const struct data_plane *plane, struct error *e);

/*
 * Creates a struct connection_ends without a ring buffer: connection_ends_take() has to fill it.
 * NULL: out of memory.
 */
struct connection_ends *connection_ends_new(const struct log *log);
void connection_ends_close(struct connection_ends *ends);

/* Has fn get each end when it is read, before it is logged. */
typedef void (*connection_end_fn)(const struct hf_ended *ended, void *arg);
void connection_ends_watch(struct connection_ends *ends, connection_end_fn fn, void *arg);

/* Returns the descriptor to wait on for input, which ends owns. */
int connection_ends_fd(const struct connection_ends *ends);

/* Stores one record of the ring buffer for connection_ends_tell(). Returns 0 or -ENOMEM. */
int connection_ends_take(struct connection_ends *ends, const void *record, size_t size);

/*
 * Logs the stored ends and drops them. Each gets a line, except in a flood, of which only the
 * number is logged.
 */
void connection_ends_tell(struct connection_ends *ends, const struct config *config,
			  const struct owners *owners);

/*
 * Reads the ring buffer and logs what it has; config gives the rules' names. Returns 0 or a
 * negative errno.
 */
int connection_ends_read(struct connection_ends *ends, const struct config *config,
			 struct error *e);

#endif
