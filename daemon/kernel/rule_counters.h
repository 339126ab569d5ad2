/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes and reads the counters of each rule, in which the BPF programs count. */
#ifndef HOLDFAST_KERNEL_RULE_COUNTERS_H
#define HOLDFAST_KERNEL_RULE_COUNTERS_H

#include "bpf/types.h"
#include "kernel/pins.h"
#include "rules/rules.h"

struct rule_counters {
	int fd; /* owned */
	int cpus;
	struct hf_counters *each; /* by CPU; owned */
};

/*
 * Makes counters for the rules that have none yet. Existing counters keep their values, also those
 * of rules that are gone, which may come back. Returns 0, -E2BIG if there is no room for all of
 * them, or another negative errno.
 */
int rule_counters_make(const struct pins *pins, const struct config *config, struct error *e);

/*
 * Removes the counters of all rules that neither configuration has; `running` may be NULL. Returns
 * 0 or negative errno.
 */
int rule_counters_make_room(const struct pins *pins, const struct config *config,
			    const struct config *running, struct error *e);

/*
 * Opens the pinned counters. The caller calls rule_counters_close(), also after a failure. Returns
 * 0 or negative errno.
 */
int rule_counters_open(struct rule_counters *counters, const struct pins *pins, struct error *e);
void rule_counters_close(struct rule_counters *counters);

/*
 * Sums a rule's counters over all CPUs, and over the two entries of struct hf_counters. The sum is
 * 0 where nothing was counted yet.
 */
void rule_counters_of(const struct rule_counters *counters, const char *rule,
		      struct hf_counters *sum);

#endif
