// SPDX-License-Identifier: GPL-2.0-or-later
#include "watchdog.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

#define SECOND_US 1000000u

/* How long READY=1 waits for the end of the first pass: the rules are in force before it. */
#define READY_US (2u * SECOND_US)

/* How often the service manager is asked for more time, and for how much. */
#define EXTEND_EVERY_US (1u * SECOND_US)
#define EXTEND_BY_US	(60u * SECOND_US)

void watchdog_notify(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sd_notify(false, text);
}

void watchdog_init(struct watchdog *watchdog)
{
	uint64_t us = 0;

	*watchdog = (struct watchdog){.phase = WATCHDOG_STARTING};
	if (sd_watchdog_enabled(false, &us) > 0)
		watchdog->watchdog_us = us / 4;
	watchdog->pinged_us = watchdog->began_us = watchdog->extended_us = monotonic_us();
}

void watchdog_enter(struct watchdog *watchdog, enum watchdog_phase phase)
{
	watchdog->phase = phase;
	watchdog->began_us = watchdog->extended_us = monotonic_us();
	if (phase == WATCHDOG_RUNNING)
		watchdog->ready = true;
}

/*
 * Tells whether a signal is pending that has to be answered soon. Such signals are blocked, and
 * wait for the event loop.
 */
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

int watchdog_tick(struct watchdog *watchdog)
{
	uint64_t now = monotonic_us();

	if (watchdog->watchdog_us && now - watchdog->pinged_us >= watchdog->watchdog_us) {
		watchdog_notify("WATCHDOG=1");
		watchdog->pinged_us = now;
	}
	if (watchdog->phase != WATCHDOG_RUNNING && now - watchdog->extended_us >= EXTEND_EVERY_US) {
		watchdog_notify("EXTEND_TIMEOUT_USEC=%u", EXTEND_BY_US);
		watchdog->extended_us = now;
	}
	if (watchdog->phase == WATCHDOG_LOOKING && !watchdog->ready &&
	    now - watchdog->began_us >= READY_US) {
		watchdog_notify("READY=1\nSTATUS=Looking at the connections that are open already");
		watchdog->ready = true;
	}
	return watchdog->phase != WATCHDOG_STOPPING && signal_waits() ? -ECANCELED : 0;
}
