/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A round: connections that idle at the same time, and a control beside them that is probed every
 * few seconds. What is lost while the control lives, the path has forgotten; what is lost
 * together with it says nothing of the path.
 */
#ifndef HOLDFAST_MEASURE_ROUND_H
#define HOLDFAST_MEASURE_ROUND_H

#include "measure/subject.h"

enum round_end {
	ROUND_FAILED = -1, /* never one: the functions return negative errno; makes it signed */
	ROUND_COUNTS,
	ROUND_VOID,	   /* `why` says it */
	ROUND_CLOSED,	   /* the server has closed what idled for closed_ms, or everything */
	ROUND_INTERRUPTED, /* by a signal */
};

struct round {
	struct subject control;
	struct subject subjects[ROUNDS_CONNECTIONS_MAX];
	size_t n;
	bool started;	    /* the subjects' commands are */
	int64_t proved_ms;  /* the control has answered a probe that was sent then */
	int64_t late_ms;    /* likewise, and took more than one; 0: never */
	int64_t asleep_ms;  /* how long the machine had slept when it began */
	uint64_t closed_ms; /* ROUND_CLOSED */
	char why[256];
};

/* Who is told. arg: of each. */
struct round_watch {
	void (*look)(void *arg); /* once a second, and where something has changed */
	void (*finding)(const struct subject *subject, void *arg); /* it has an outcome */
	void *arg;
};

/*
 * Runs it to its end, and leaves the commands running: subjects_end() is the caller's, by
 * round_stop(). signals: a signalfd(2) of what interrupts it, and of SIGCHLD. enum round_end, or
 * as of subject_attend().
 */
int round_run(struct round *round, struct subject_world *world, uint64_t control_ms,
	      const uint64_t *gaps, size_t n, int signals, const struct round_watch *watch,
	      struct error *e);

/* Ends its commands. */
void round_stop(struct round *round);

/* What has come of its connections: those that have an outcome, or with `all` how long each of them
 * has idled by now. How many. */
size_t round_outcomes(const struct round *round, bool all, struct idled *idled);

/* Takes a signal. False: there is none that interrupts. */
bool round_interrupted(int signals);

#endif
