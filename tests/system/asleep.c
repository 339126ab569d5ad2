// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For LD_PRELOAD: the machine seems to have slept for a minute, from when the file HF_ASLEEP is
 * there. CLOCK_BOOTTIME tells of it, CLOCK_MONOTONIC doesn't.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ASLEEP_S 60

int clock_gettime(clockid_t clock, struct timespec *now)
{
	const char *file = getenv("HF_ASLEEP");

	if (syscall(SYS_clock_gettime, clock, now) < 0)
		return -1;
	if (clock == CLOCK_BOOTTIME && file && access(file, F_OK) == 0)
		now->tv_sec += ASLEEP_S;
	return 0;
}
