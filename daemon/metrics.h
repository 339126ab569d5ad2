/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters and gauges in Prometheus text format: the same for `holdfast
 * metrics` and for the daemon's metrics-textfile. No label is per socket.
 */
#ifndef HOLDFAST_METRICS_H
#define HOLDFAST_METRICS_H

#include "snapshot.h"
#include "stats.h"

#include <stdio.h>

/* What one rule's sockets are and were. */
struct metrics_rule {
	uint64_t sockets[N_VERDICTS]; /* by enum verdict */
	struct hf_counters counters;  /* over all CPUs */
};

struct metrics {
	struct snapshot snapshot;
	struct metrics_rule *rules; /* in the order of snapshot.config; owned */
	struct stats stats;
	bool daemon_up;
};

/* Reads all of it from the kernel. metrics_free() frees it. Negative errno. */
int metrics_take(const struct plane *plane, struct metrics *metrics, struct error *e);
void metrics_free(struct metrics *metrics);

/* Whether all of it went through shows ferror(out). */
void metrics_write(const struct metrics *metrics, FILE *out);

/* What there is to say where nothing is attached. */
void metrics_write_nothing(FILE *out);

#endif
