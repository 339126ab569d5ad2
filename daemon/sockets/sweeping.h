/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts what a sweep does to the sockets of a namespace, for a pass. */
#ifndef HOLDFAST_SOCKETS_SWEEPING_H
#define HOLDFAST_SOCKETS_SWEEPING_H

#include "base/log.h"
#include "sockets/missing.h"
#include "sockets/pass_result.h"

#include <stddef.h>
#include <stdint.h>

/* One sweep of one namespace. The caller sets the first three, which aren't owned. */
struct sweeping {
	const struct log *log; /* each socket is told at level debug */
	struct held *held;     /* sockets that the sweep holds are added */
	struct reconcile_result *result;
	size_t *last;	      /* the count that the last record went into */
	uint64_t last_cookie; /* the socket of the last record */
	size_t done, failed;  /* sockets that the sweep has changed, and could not change */
};

/*
 * Counts one socket. It is an iter_fn: `record` is a struct hf_sweep, `arg` a struct sweeping.
 * Returns 0, or -ENOMEM.
 */
int sweeping_count(const void *record, void *arg);

#endif
