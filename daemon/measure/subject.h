/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One command and its connection: it idles, is probed once at its time, and answers or doesn't. */
#ifndef HOLDFAST_MEASURE_SUBJECT_H
#define HOLDFAST_MEASURE_SUBJECT_H

#include "measure/client.h"
#include "measure/connection.h"
#include "measure/rounds.h"
#include "measure/search.h"

/* An answer is waited for so long; the kernel sends a probe each second meanwhile. */
#define SUBJECT_ANSWER_MS 5000

/* A command has so long to open its connection; then, so long to log in, at most. */
#define SUBJECT_CONNECT_MS 10000
#define SUBJECT_LOGIN_MS   10000

enum subject_stage {
	SUBJECT_STARTING, /* its connection isn't found yet */
	SUBJECT_IDLE,
	SUBJECT_PROBING,
	SUBJECT_SUSPECT, /* it is lost: whether by the path, the control has to say */
	SUBJECT_DONE,	 /* with an outcome */
	SUBJECT_NEEDLESS /* the others' outcomes say what its own would */
};

/* What all of them have in common. */
struct subject_world {
	char *const *argv;
	struct search_peer peer;
	const char *pin_dir; /* of the daemon that is to leave them alone */
	uint64_t login_ms;   /* what goes over a connection later than this isn't its login */
	struct pidfd_helper helper;
	unsigned started; /* commands, so far */
};

/* Times are CLOCK_MONOTONIC in ms. */
struct subject {
	struct client client;
	int fd; /* its connection; owned; -1: none */
	uint64_t cookie;
	uint64_t gap_ms; /* to idle for so long */
	bool control;	 /* probed again and again, so that packets aren't news */
	enum subject_stage stage;
	enum outcome outcome;	     /* SUBJECT_SUSPECT, SUBJECT_DONE */
	bool asked;		     /* its outcome is that of a probe; else it came unasked */
	enum connection_state state; /* with SUBJECT_SUSPECT, not asked: how it was closed */
	uint64_t idle_ms;	     /* SUBJECT_PROBING and later: it has idled for */
	uint64_t data_idle_ms;	   /* SUBJECT_SUSPECT: since there was data, which servers go by */
	uint64_t answer_ms;	   /* OUTCOME_ANSWERED: it took so long */
	int64_t found_ms, last_ms; /* its connection was found; its last packet went or came */
	int64_t probed_ms, ended_ms;
	int64_t loud_ms; /* keepalive was found on, each time since then; 0: it was off */
	uint32_t packets, packets_in;
	char why[256]; /* OUTCOME_VOID: why */
};

#define SUBJECT_INIT                                                                               \
	{                                                                                          \
		.client = CLIENT_INIT, .fd = -1                                                    \
	}

int subject_start(struct subject *subject, struct subject_world *world, struct error *e);

/*
 * Sees to it: finds its connection, looks whether it is still idle, probes it at its time, looks
 * for an answer. -ESRCH, -ETIMEDOUT: it can't be measured with this command, and e says why.
 */
int subject_attend(struct subject *subject, struct subject_world *world, struct error *e);

/* A probe now, whatever its time is. */
int subject_probe(struct subject *subject, struct error *e);

/* When it wants to be attended at the latest. */
int64_t subject_next_ms(const struct subject *subject);

/* Ends their commands, and lets go of their connections first. */
void subjects_end(struct subject *subjects, size_t n);

#endif
