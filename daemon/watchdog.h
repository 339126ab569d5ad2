/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the service manager informed while long work goes on, and tells when such work has to make
 * way for a signal: a look at thousands of network namespaces takes longer than the service
 * manager waits for a start or for the watchdog. Messages are sent only as work goes on, so that
 * the service manager still finds a daemon that hangs.
 */
#ifndef HOLDFAST_WATCHDOG_H
#define HOLDFAST_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

enum watchdog_phase {
	WATCHDOG_STARTING, /* the rules aren't in force yet: READY=1 has to wait, however long */
	WATCHDOG_LOOKING,  /* the first pass: watchdog_tick() says READY=1 if it takes long */
	WATCHDOG_RUNNING,
	WATCHDOG_RELOADING,
	WATCHDOG_STOPPING,
};

struct watchdog {
	enum watchdog_phase phase;
	uint64_t watchdog_us; /* between two WATCHDOG=1: a quarter of WATCHDOG_USEC; 0: never */
	uint64_t pinged_us;   /* CLOCK_MONOTONIC; when WATCHDOG=1 was sent last */
	uint64_t began_us;    /* CLOCK_MONOTONIC; when the phase began */
	uint64_t extended_us; /* CLOCK_MONOTONIC; when more time was asked for last */
	bool ready;	      /* READY=1 has been sent */
};

void watchdog_init(struct watchdog *watchdog);
void watchdog_enter(struct watchdog *watchdog, enum watchdog_phase phase);

/*
 * Sends what is due to the service manager. Long work calls it between its pieces. Returns 0, or
 * -ECANCELED if a signal is pending that must not wait for the rest of the work. Never cancels
 * the stop, which goes on to its end.
 */
int watchdog_tick(struct watchdog *watchdog);

/*
 * Sends a message to the service manager, as sd_notify(3). Allocates no memory, so that it works
 * when there is none.
 */
__attribute__((format(printf, 1, 2))) void watchdog_notify(const char *format, ...);

#endif
