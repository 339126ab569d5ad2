/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes counters and gauges from the kernel and writes them in Prometheus text format, for
 * `holdfast metrics` and for the daemon's metrics-textfile alike. No label is per socket.
 */
#ifndef HOLDFAST_SHOW_METRICS_H
#define HOLDFAST_SHOW_METRICS_H

#include "sockets/daemon_stats.h"
#include "sockets/snapshot.h"

#include <stdio.h>

/* The numbers of one rule. */
struct metrics_rule {
	uint64_t sockets[N_VERDICTS]; /* existing sockets, by enum verdict */
	struct hf_counters counters;  /* sums over all CPUs */
};

struct metrics {
	struct snapshot snapshot;
	struct metrics_rule *rules; /* in the order of snapshot.config; owned */
	struct daemon_stats stats;
	bool daemon_up;
};

/*
 * Reads all numbers from the kernel; metrics_free() frees them. Returns 0 or a negative errno.
 */
int metrics_take(const struct data_plane *plane, struct metrics *metrics, struct error *e);
void metrics_free(struct metrics *metrics);

/* Writes all numbers. ferror(out) shows a failure. */
void metrics_write(const struct metrics *metrics, FILE *out);

/* Writes what there is to say where nothing is attached. */
void metrics_write_nothing(FILE *out);

#endif
