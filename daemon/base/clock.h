/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the clocks of clock_gettime(2). */
#ifndef HOLDFAST_BASE_CLOCK_H
#define HOLDFAST_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic_us(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000u;
}

static inline int64_t monotonic_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_MONOTONIC) / 1000000u);
}

/* Returns the CPU time that this process has used. */
static inline uint64_t cpu_time_us(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000u;
}

#endif
