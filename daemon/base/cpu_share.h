/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits how often the daemon works, so that in the long run the work takes no more than a share
 * of one CPU, however many sockets, namespaces and events there are. Whoever is root in a
 * container can make any number of them.
 */
#ifndef HOLDFAST_BASE_CPU_SHARE_H
#define HOLDFAST_BASE_CPU_SHARE_H

#include <stdint.h>

/*
 * Shares: full reconcile passes may take 1/250 (0.4 %) of one CPU, events 1/1000 (0.1 %), for
 * reading and for answering them. Once its burst is used up, work has to be followed by a wait of
 * this many times the CPU time that it took.
 */
#ifndef CPU_SHARE_PASS
#define CPU_SHARE_PASS 250u
#endif
#define CPU_SHARE_EVENT 1000u

/* CPU time that the work may take before it has to wait, so that ordinary bursts are answered at
 * once. A test builds the daemon with others for passes. */
#define CPU_SHARE_EVENT_BURST_US (5u * 1000000u)
#ifndef CPU_SHARE_PASS_BURST_US
#define CPU_SHARE_PASS_BURST_US (3u * 1000000u)
#endif

struct cpu_share {
	uint64_t share;	  /* CPU_SHARE_PASS or CPU_SHARE_EVENT */
	int64_t burst_us; /* most CPU time that can be saved up */
	int64_t left_us;  /* CPU time that may be used now; negative: overdrawn */
	uint64_t last_us; /* CLOCK_MONOTONIC up to which left_us was refilled */
};

void cpu_share_init(struct cpu_share *budget, uint64_t share, uint64_t burst_us, uint64_t now_us);

/* Subtracts the CPU time that some work has cost. Returns how many microseconds to wait before
 * more work; 0: none. */
uint64_t cpu_share_spend(struct cpu_share *budget, uint64_t now_us, uint64_t cost_us);

#endif
