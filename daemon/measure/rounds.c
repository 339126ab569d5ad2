// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/rounds.h"

#include "base/util.h"
#include "measure/grid.h"

#include <math.h>

/* With fewer connections the first round isn't a grid up to `to`: it takes that long. */
#define GRID_MIN 4

/* Where connections differ, so many of them try each gap. */
#define FOLD 4

/* So often what was found is looked for again. */
#define CONFIRMATIONS_MAX 10

/* Of what the server lets idle, so much is measured: its own clock isn't ours. */
#define LIMIT_PERCENT 95

void rounds_init(struct rounds *rounds, const struct rounds_options *options)
{
	*rounds = (struct rounds){.options = *options};
}

void rounds_free(struct rounds *rounds)
{
	free(rounds->list);
	*rounds = (struct rounds){0};
}

static unsigned apart_permille(const struct rounds *rounds)
{
	return 1000 + rounds->options.resolution_permille;
}

/* Connections idle a little longer than they are to: below that, gaps are the same. */
static uint64_t less_a_little(const struct rounds *rounds, uint64_t ms)
{
	return ms - ms * rounds->options.resolution_permille / 4000;
}

/* The control lives with its gaps, else nothing counts. */
static uint64_t low(const struct rounds *rounds)
{
	return rounds->lived_ms ? rounds->lived_ms : rounds->options.control_ms;
}

static bool is_within(const struct rounds *rounds)
{
	uint64_t high = rounds->forgotten_ms;

	if (!high)
		return rounds->lived_ms >= less_a_little(rounds, rounds->options.to_ms);
	return high * 1000 <= low(rounds) * apart_permille(rounds);
}

static bool is_forgotten(const struct idled *idled)
{
	return idled->outcome == OUTCOME_SILENCE || idled->outcome == OUTCOME_RESET;
}

/* So many connections try each gap, where they differ. */
static size_t fold_of(const struct rounds *rounds)
{
	if (!rounds->mixed)
		return 1;
	return rounds->options.connections < FOLD ? rounds->options.connections : FOLD;
}

/*
 * The longest that so many connections have lived below `until_ms`, none of which was forgotten.
 * One alone may have taken the way that forgets later.
 */
static uint64_t lived_by(const struct rounds *rounds, size_t count, uint64_t until_ms)
{
	uint64_t longest[FOLD] = {0}; /* in falling order */
	size_t i, j;

	for (i = 0; i < rounds->n; i++) {
		uint64_t ms = rounds->list[i].idle_ms;

		if (rounds->list[i].outcome != OUTCOME_ANSWERED || ms > until_ms)
			continue;
		for (j = 0; j < count; j++) {
			uint64_t before = longest[j];

			if (ms > before) {
				longest[j] = ms;
				ms = before;
			}
		}
	}
	return longest[count - 1];
}

/* What all of them say together. */
static void weigh(struct rounds *rounds)
{
	const struct idled *list = rounds->list;
	uint64_t little;
	size_t i;

	rounds->forgotten_ms = 0;
	for (i = 0; i < rounds->n; i++) {
		if (is_forgotten(&list[i]) &&
		    (!rounds->forgotten_ms || list[i].idle_ms < rounds->forgotten_ms)) {
			rounds->forgotten_ms = list[i].idle_ms;
			rounds->how = list[i].outcome;
		}
	}
	little = rounds->forgotten_ms ? less_a_little(rounds, rounds->forgotten_ms) : UINT64_MAX;
	rounds->mixed = false;
	for (i = 0; i < rounds->n; i++)
		rounds->mixed |= list[i].outcome == OUTCOME_ANSWERED && list[i].idle_ms > little;
	rounds->lived_ms = lived_by(rounds, fold_of(rounds), little);
}

/* Up to `to`, until one is forgotten. */
static size_t ascend(const struct rounds *rounds, uint64_t *gaps, size_t n)
{
	const struct rounds_options *options = &rounds->options;
	uint64_t lived = rounds->lived_ms, gap = lived ? lived * 2 : options->from_ms;
	uint64_t grid[ROUNDS_CONNECTIONS_MAX + 1];
	size_t i, tried = lived ? 1 : 0; /* what has lived isn't tried again */

	if (n >= GRID_MIN) {
		n = grid_straddle(lived ? lived : options->from_ms, options->to_ms,
				  apart_permille(rounds), grid, n + tried);
		if (n == 1)
			tried = 0;
		memcpy(gaps, grid + tried, (n - tried) * sizeof(*gaps));
		return n - tried;
	}
	for (i = 0; i < n; i++, gap *= 2) {
		gaps[i] = gap < options->to_ms ? gap : options->to_ms;
		if (gap >= options->to_ms)
			return i + 1;
	}
	return n;
}

/* Each of the gaps several times. */
static size_t multiply(uint64_t *gaps, size_t n, size_t fold)
{
	size_t i;

	for (i = n * fold; i > 0; i--)
		gaps[i - 1] = gaps[(i - 1) / fold];
	return n * fold;
}

/* Most for what is said to be safe, some for what is said to be forgotten by all. */
static size_t confirm(const struct rounds *rounds, uint64_t *gaps, size_t n)
{
	uint64_t safe = rounds->forgotten_ms ? low(rounds) : rounds->options.to_ms;
	size_t forgotten = 0, i;

	if (n > 1 && rounds->forgotten_ms && !rounds->mixed)
		forgotten = n < FOLD ? 1 : n / FOLD;
	for (i = 0; i < n; i++)
		gaps[i] = i + forgotten < n ? safe : rounds->forgotten_ms;
	return n;
}

size_t rounds_next(const struct rounds *rounds, uint64_t gaps[ROUNDS_CONNECTIONS_MAX])
{
	size_t n = rounds->options.connections, fold = fold_of(rounds);

	if (rounds->phase == ROUNDS_DONE)
		return 0;
	if (rounds->phase == ROUNDS_CONFIRM)
		return confirm(rounds, gaps, n);
	if (!rounds->forgotten_ms)
		return ascend(rounds, gaps, n);
	return multiply(gaps,
			grid_divide(low(rounds), rounds->forgotten_ms, apart_permille(rounds), gaps,
				    n / fold),
			fold);
}

static int remember(struct rounds *rounds, const struct idled *idled, size_t n, bool counts)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (array_grow(&rounds->list, rounds->n, &rounds->room, sizeof(*rounds->list)))
			return -ENOMEM;
		rounds->list[rounds->n] = idled[i];
		if (!counts)
			rounds->list[rounds->n].outcome = OUTCOME_VOID;
		rounds->n++;
	}
	return 0;
}

/* Whether what was found before still stands. */
static bool is_confirmed(const struct rounds *rounds, const struct rounds *before)
{
	if (before->forgotten_ms)
		return rounds->forgotten_ms >= less_a_little(rounds, before->forgotten_ms) &&
		       low(rounds) >= less_a_little(rounds, low(before));
	return !rounds->forgotten_ms;
}

static void go_on(struct rounds *rounds, const struct rounds *before)
{
	bool confirmed = rounds->phase == ROUNDS_CONFIRM && is_confirmed(rounds, before);

	if (rounds->phase == ROUNDS_CONFIRM)
		rounds->confirmations++;
	if (confirmed || (rounds->confirmations >= CONFIRMATIONS_MAX && is_within(rounds)) ||
	    /* It forgets sooner than the control is probed, or has to be measured below that. */
	    (rounds->forgotten_ms && low(rounds) >= rounds->forgotten_ms))
		rounds->phase = ROUNDS_DONE;
	else
		rounds->phase = is_within(rounds) ? ROUNDS_CONFIRM : ROUNDS_SEARCH;
}

int rounds_take(struct rounds *rounds, const struct idled *idled, size_t n)
{
	const struct rounds before = *rounds;
	bool learned = false;
	size_t i;

	for (i = 0; i < n; i++)
		learned |= idled[i].outcome != OUTCOME_VOID;
	if (!learned)
		return rounds_void(rounds, idled, n);
	if (remember(rounds, idled, n, true))
		return -ENOMEM;
	rounds->again = 0;
	weigh(rounds);
	go_on(rounds, &before);
	return 0;
}

int rounds_void(struct rounds *rounds, const struct idled *idled, size_t n)
{
	if (remember(rounds, idled, n, false))
		return -ENOMEM;
	return ++rounds->again > ROUNDS_AGAIN_MAX ? -EAGAIN : 0;
}

void rounds_limit(struct rounds *rounds, uint64_t idle_ms)
{
	struct rounds_options *options = &rounds->options;
	uint64_t most = idle_ms * LIMIT_PERCENT / 100;

	rounds->limit_ms = idle_ms;
	rounds->again = 0;
	if (most < options->to_ms)
		options->to_ms = most;
	if (rounds->forgotten_ms)
		return; /* what is left is below that */
	if (options->to_ms < options->from_ms || rounds->lived_ms >= options->to_ms)
		rounds->phase = ROUNDS_DONE;
}

bool rounds_found(const struct rounds *rounds)
{
	return rounds->phase == ROUNDS_DONE &&
	       (rounds->forgotten_ms || (!rounds->limit_ms && rounds->lived_ms));
}

uint64_t rounds_longer_than_ms(const struct rounds *rounds)
{
	return rounds->forgotten_ms ? low(rounds) : rounds->lived_ms;
}

uint64_t rounds_left_ms(const struct rounds *rounds)
{
	uint64_t high = rounds->forgotten_ms ? rounds->forgotten_ms : rounds->options.to_ms;
	double cells = rounds->options.connections + 1, whole, steps = 0;

	if (rounds->phase == ROUNDS_DONE)
		return 0;
	if (rounds->phase == ROUNDS_SEARCH && rounds->forgotten_ms) {
		whole = log((double)high / (double)low(rounds)) /
			log(apart_permille(rounds) / 1000.0);
		steps = whole > 1 ? ceil(log(whole) / log(cells)) : 1;
	} else if (rounds->phase == ROUNDS_SEARCH) {
		steps = 1;
	}
	return (uint64_t)(steps + 1) * high;
}
