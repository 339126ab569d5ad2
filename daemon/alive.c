// SPDX-License-Identifier: GPL-2.0-or-later
#include "alive.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define SECOND_US 1000000u

/* A first pass that takes longer doesn't keep others waiting: the rules are in force by then. */
#define READY_US (2u * SECOND_US)

/* More time is asked for so often, and so much. */
#define EXTEND_EVERY_US (1u * SECOND_US)
#define EXTEND_BY_US	(60u * SECOND_US)

void alive_notify(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sd_notify(false, text);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_US + (uint64_t)now.tv_nsec / 1000u;
}

void alive_init(struct alive *alive)
{
	uint64_t us = 0;

	*alive = (struct alive){.phase = ALIVE_STARTING};
	if (sd_watchdog_enabled(false, &us) > 0)
		alive->watchdog_us = us / 4;
	alive->pinged_us = alive->began_us = alive->extended_us = now_us();
}

void alive_enter(struct alive *alive, enum alive_phase phase)
{
	alive->phase = phase;
	alive->began_us = alive->extended_us = now_us();
	if (phase == ALIVE_RUNNING)
		alive->ready = true;
}

/* Signals that are answered at once. They are blocked, and wait for the event loop. */
static bool signal_waits(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
	sigset_t pending;
	size_t i;

	if (sigpending(&pending) < 0)
		return false;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (sigismember(&pending, numbers[i]) == 1)
			return true;
	}
	return false;
}

int alive_tick(struct alive *alive)
{
	uint64_t now = now_us();

	if (alive->watchdog_us && now - alive->pinged_us >= alive->watchdog_us) {
		alive_notify("WATCHDOG=1");
		alive->pinged_us = now;
	}
	if (alive->phase != ALIVE_RUNNING && now - alive->extended_us >= EXTEND_EVERY_US) {
		alive_notify("EXTEND_TIMEOUT_USEC=%u", EXTEND_BY_US);
		alive->extended_us = now;
	}
	if (alive->phase == ALIVE_LOOKING && !alive->ready && now - alive->began_us >= READY_US) {
		alive_notify("READY=1\nSTATUS=Looking at the connections that are open already");
		alive->ready = true;
	}
	return alive->phase != ALIVE_STOPPING && signal_waits() ? -ECANCELED : 0;
}
