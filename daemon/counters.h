/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel side has counted, by rule. */
#ifndef HOLDFAST_COUNTERS_H
#define HOLDFAST_COUNTERS_H

#include "plane.h"

struct counters {
	int fd; /* owned */
	int cpus;
	struct hf_counters *each; /* by CPU; owned */
};

/*
 * Makes the counters of rules that have none yet; the others go on counting. Those of rules that
 * are gone stay for when they come back, until their room is needed.
 */
int counters_make(const struct plane *plane, const struct config *config, struct error *e);

/* Opens the pinned map. counters_close() frees what it holds, also after a failure. */
int counters_open(struct counters *counters, const struct plane *plane, struct error *e);
void counters_close(struct counters *counters);

/* The sum over all CPUs for a rule, by its name; zeros where nothing was counted yet. */
void counters_of(const struct counters *counters, const char *rule, struct hf_counters *sum);

#endif
