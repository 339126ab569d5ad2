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

/* The period of full passes, given what the last one took of CPU time: at least what is configured.
 */
uint64_t pace_period_us(uint64_t configured_us, uint64_t cost_us);

/* What answers to events may take at the moment: ordinary bursts are answered at once. */
#define PACE_BURST_US (5u * 1000000u)

struct pace {
	int64_t left_us;  /* of CPU time; negative: to be waited for */
	uint64_t last_us; /* CLOCK_MONOTONIC, when some was added last */
};

void pace_init(struct pace *pace, uint64_t now_us);

/* Takes off what an answer has cost; returns how long to wait before the next one. */
uint64_t pace_spend(struct pace *pace, uint64_t now_us, uint64_t cost_us);

#endif
