/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Round after round, until it is known after how long the path forgets. */
#ifndef HOLDFAST_MEASURE_RUN_H
#define HOLDFAST_MEASURE_RUN_H

#include "measure/round.h"
#include "measure/rounds.h"

struct measure;

/* Who is told; arg: of each. */
struct measure_watch {
	void (*begin)(const struct measure *measure, void *arg); /* a round */
	void (*look)(const struct measure *measure, void *arg);	 /* once a second */
	void (*finding)(const struct measure *measure, const struct subject *subject, void *arg);
	/* The round can't begin: the command doesn't connect any more, and `why` says how. It is
	 * tried again, and this is called for each attempt. */
	void (*wait)(const struct measure *measure, const char *why, void *arg);
	/* The round is over. why: it doesn't count; NULL: it does. */
	void (*end)(const struct measure *measure, const char *why, void *arg);
	void *arg;
};

struct measure {
	struct subject_world world;
	struct rounds rounds;
	struct round round;  /* the one that runs */
	unsigned number;     /* which one it is, from 1 */
	unsigned attempts;   /* to begin it, in vain */
	bool interrupted;    /* by a signal */
	int64_t begun_ms;    /* CLOCK_MONOTONIC: when the round has begun */
	uint64_t longest_ms; /* of its gaps */
	uint64_t closed_ms;  /* the server has closed what idled so long, once; 0: it hasn't */
	int signals;	     /* see round_run() */
	const struct measure_watch *watch;
};

/*
 * Measures: rounds_found() of measure->rounds says whether it was found. world, signals and watch
 * are filled in. Its commands have ended when it returns, whatever it returns. Negative errno: it
 * couldn't be measured, and e says why; what is known by then is in measure->rounds.
 */
int measure_run(struct measure *measure, const struct rounds_options *options, struct error *e);

void measure_free(struct measure *measure);

#endif
