/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `holdfast probe` found out, and its two shapes. */
#ifndef HOLDFAST_PROBE_SHOW_H
#define HOLDFAST_PROBE_SHOW_H

#include "snapshot.h"

enum probe_outcome {
	PROBE_WAITING, /* nothing came in time: silent */
	PROBE_ANSWERED,
	PROBE_GONE, /* the connection ended meanwhile, reset for instance */
};

struct probe_result {
	const struct snapshot_socket *socket; /* before the probe */
	enum probe_outcome outcome;
	int64_t ms;	/* from probe to answer, as exact as the kernel's timer tick */
	unsigned round; /* of the last look that still found it */
};

struct probe_results {
	struct probe_result *list; /* owned */
	size_t n;
	unsigned round;
};

/* To standard output. -ENOMEM. */
int probe_show_table(const struct probe_results *results);
int probe_show_json(const struct probe_results *results);

#endif
