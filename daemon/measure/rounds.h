/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * measure/ finds out after how long a path forgets: it starts commands, and has their connections
 * idle. It calls host/, kernel/ and what is below them.
 */

/*
 * Which connections are to idle for how long, and what follows from how it went. Pure: it knows
 * neither the kernel nor a clock.
 *
 * A round is some connections that idle at the same time. The first one's gaps are a grid from
 * `from` to `to` that straddles the known windows; then gaps between the longest that lived and
 * the shortest that was forgotten divide what is left, until it is within the resolution; then what
 * was found is confirmed: most connections idle for as long as is said to be safe, and all of
 * them have to live, so that what only one of several paths stands isn't taken for the answer.
 *
 * Where connections differ (several paths, a table that is full), the shortest that was forgotten
 * counts, and each gap is tried by several connections from then on.
 */
#ifndef HOLDFAST_MEASURE_ROUNDS_H
#define HOLDFAST_MEASURE_ROUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections of a round, at most. */
#define ROUNDS_CONNECTIONS_MAX 64

/* So often a round that didn't count is made again. */
#define ROUNDS_AGAIN_MAX 3

enum outcome {
	OUTCOME_ANSWERED, /* the path has forgotten nothing */
	OUTCOME_SILENCE,
	OUTCOME_RESET,
	OUTCOME_VOID, /* says nothing */
};

/* A connection that has idled. */
struct idled {
	uint64_t idle_ms; /* for so long, not a packet */
	enum outcome outcome;
};

struct rounds_options {
	uint64_t from_ms, to_ms;
	unsigned resolution_permille; /* 50: 5% */
	unsigned connections;	      /* at a time, 1 to ROUNDS_CONNECTIONS_MAX */
	uint64_t control_ms;	      /* the gaps of the control, which live: less than from_ms */
};

enum rounds_phase {
	ROUNDS_SEARCH,
	ROUNDS_CONFIRM,
	ROUNDS_DONE,
};

struct rounds {
	struct rounds_options options;
	enum rounds_phase phase;
	struct idled *list; /* all that have idled, in the order in which it was told; owned */
	size_t n, room;
	/* What those say that count: */
	uint64_t lived_ms;     /* the longest that lived (`mixed`: several times) below... */
	uint64_t forgotten_ms; /* ...the shortest that was forgotten; 0: none */
	enum outcome how;      /* with forgotten_ms: of that one */
	bool mixed;	       /* one that idled as long as that, or longer, has lived */
	uint64_t limit_ms;     /* the server closes what idles this long; 0: it doesn't */
	unsigned again;	       /* how often this round has been made in vain */
	unsigned confirmations;
};

void rounds_init(struct rounds *rounds, const struct rounds_options *options);
void rounds_free(struct rounds *rounds);

/* The gaps of the next round, ascending, in ms; how many. 0: there is nothing more to find out. */
size_t rounds_next(const struct rounds *rounds, uint64_t gaps[ROUNDS_CONNECTIONS_MAX]);

/*
 * How the round went: the connections that have come to an outcome; those that the others'
 * outcomes made needless are left out. -EAGAIN: nothing could be learned from it, too often.
 * -ENOMEM.
 */
int rounds_take(struct rounds *rounds, const struct idled *idled, size_t n);

/* The round counts for nothing, and is made again. -EAGAIN: that has been so too often. -ENOMEM. */
int rounds_void(struct rounds *rounds, const struct idled *idled, size_t n);

/* The server closes connections that idle for so long, so that no more can be found out. */
void rounds_limit(struct rounds *rounds, uint64_t idle_ms);

/* Whether the answer is found: not so where the server has closed what was to idle longer. */
bool rounds_found(const struct rounds *rounds);

/* What the path certainly doesn't forget by now, as far as it is known; 0: nothing is. */
uint64_t rounds_longer_than_ms(const struct rounds *rounds);

/* How long the rounds from the next one on will take, at most, as far as it is known. */
uint64_t rounds_left_ms(const struct rounds *rounds);

#endif
