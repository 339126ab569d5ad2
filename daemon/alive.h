/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the service manager is told while long work goes on, and when such work has to make way:
 * thousands of network namespaces take longer to look at than a start or the watchdog may.
 * Told only where work has gone on, so that a daemon that hangs is still found.
 */
#ifndef HOLDFAST_ALIVE_H
#define HOLDFAST_ALIVE_H

#include <stdbool.h>
#include <stdint.h>

enum alive_phase {
	ALIVE_STARTING, /* the rules aren't in force: however long it takes, not READY */
	ALIVE_LOOKING,	/* at what was open before: READY once that takes too long */
	ALIVE_RUNNING,
	ALIVE_RELOADING,
	ALIVE_STOPPING,
};

struct alive {
	enum alive_phase phase;
	uint64_t watchdog_us; /* how often WATCHDOG=1 is wanted at least; 0: never */
	uint64_t pinged_us;   /* CLOCK_MONOTONIC */
	uint64_t began_us;    /* likewise, of the phase */
	uint64_t extended_us; /* likewise, when more time was asked for last */
	bool ready;	      /* READY=1 has been said */
};

void alive_init(struct alive *alive);
void alive_enter(struct alive *alive, enum alive_phase phase);

/*
 * To be called between the pieces of long work: 0, or -ECANCELED where a signal waits that
 * must not wait for the rest of it (not while stopping, which goes on to its end).
 */
int alive_tick(struct alive *alive);

/* To the service manager, as sd_notify(3) has it, but without taking memory: it hears also of
 * what goes wrong because there is none. */
__attribute__((format(printf, 1, 2))) void alive_notify(const char *format, ...);

#endif
