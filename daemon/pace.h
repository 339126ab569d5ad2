/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How often there may be work, so that in the long run it takes no more than a share of one
 * CPU, however many sockets and namespaces there are, and however many events: whoever is root
 * in a container makes those without end.
 */
#ifndef HOLDFAST_PACE_H
#define HOLDFAST_PACE_H

#include <stdint.h>

/* Full passes have 0.4 % of one CPU, answers to events 0.1 %: the longest waits by the CPU time
 * that they follow. */
#define PACE_PASS  250u
#define PACE_EVENT 1000u

/* What they may take before they have to wait: ordinary bursts are answered at once. (A test
 * builds another one.) */
#define PACE_EVENT_BURST_US (5u * 1000000u)
#ifndef PACE_PASS_BURST_US
#define PACE_PASS_BURST_US (3u * 1000000u)
#endif

struct pace {
	uint64_t share;	  /* PACE_* */
	int64_t burst_us; /* of CPU time */
	int64_t left_us;  /* of that, at the moment; negative: to be waited for */
	uint64_t last_us; /* CLOCK_MONOTONIC, when some was added last */
};

void pace_init(struct pace *pace, uint64_t share, uint64_t burst_us, uint64_t now_us);

/* Takes off what some work has cost; returns how long to wait before more of it. */
uint64_t pace_spend(struct pace *pace, uint64_t now_us, uint64_t cost_us);

#endif
