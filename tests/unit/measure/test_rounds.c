// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The rounds of `holdfast measure`, against paths that are made up. It is one long file since all
 * tests share the same made-up path and the loop that measures it.
 */
#include "unit.h"

#include "base/util.h"
#include "measure/grid.h"
#include "measure/rounds.h"
#include "rules/known_windows.h"

#include <errno.h>

/* A path: flows that hash to one of its ways are forgotten after that one's window. */
struct path {
	uint64_t window_ms[4]; /* UINT64_MAX: never */
	size_t ways;
	unsigned hash;	   /* of the last flow */
	uint64_t close_ms; /* the server closes what idles so long; 0: it doesn't */
};

/* What it took. */
struct cost {
	size_t rounds, connections;
	uint64_t ms;
};

static const struct rounds_options usual = {.from_ms = 60000,
					    .to_ms = 7200000,
					    .resolution_permille = 50,
					    .connections = 8,
					    .control_ms = 15000};

static enum outcome meet(struct path *path, uint64_t idle_ms)
{
	/* Any order of the ways: a small generator of pseudo-random numbers. */
	path->hash = path->hash * 1103515245u + 12345u;
	return idle_ms < path->window_ms[(path->hash >> 16) % path->ways] ? OUTCOME_ANSWERED
									  : OUTCOME_SILENCE;
}

/*
 * One round: connections idle a little longer than they are to. Once one is forgotten, those that
 * were to idle for longer are asked at once.
 */
static void run_round(struct rounds *rounds, struct path *path, struct cost *cost)
{
	uint64_t gaps[ROUNDS_CONNECTIONS_MAX], lost_ms = UINT64_MAX;
	struct idled idled[ROUNDS_CONNECTIONS_MAX] = {0};
	size_t i, n = rounds_next(rounds, gaps);
	bool closed = false;

	assert_in_range(n, 1, rounds->options.connections);
	cost->rounds++;
	cost->connections += n;
	for (i = 0; i < n; i++) {
		assert_true(i == 0 || gaps[i] >= gaps[i - 1]);
		assert_true(gaps[i] <= rounds->options.to_ms + 20);
		idled[i].idle_ms = gaps[i] > lost_ms ? lost_ms + 5000 + i : gaps[i] + 3 + i % 5;
		closed = path->close_ms && idled[i].idle_ms >= path->close_ms;
		if (closed)
			break;
		idled[i].outcome = meet(path, idled[i].idle_ms);
		if (idled[i].outcome != OUTCOME_ANSWERED && lost_ms == UINT64_MAX)
			lost_ms = gaps[i];
	}
	cost->ms += closed ? path->close_ms : idled[i - 1].idle_ms;
	if (i > 0)
		assert_int_equal(rounds_take(rounds, idled, i), 0);
	if (closed)
		rounds_limit(rounds, path->close_ms);
}

static struct cost measure(struct rounds *rounds, const struct rounds_options *options,
			   struct path *path)
{
	struct cost cost = {0};

	rounds_init(rounds, options);
	while (rounds->phase != ROUNDS_DONE) {
		assert_in_range(cost.rounds, 0, 60);
		run_round(rounds, path, &cost);
	}
	return cost;
}

static void check_found(const struct rounds *rounds, uint64_t window_ms)
{
	assert_true(rounds_found(rounds));
	assert_true(rounds->lived_ms < window_ms && window_ms <= rounds->forgotten_ms);
	assert_true(rounds->forgotten_ms * 1000 <=
		    rounds->lived_ms * (1000 + rounds->options.resolution_permille));
	assert_int_equal(rounds->how, OUTCOME_SILENCE);
	assert_false(rounds->mixed);
}

/* Every window from a minute to two hours is found, within the resolution. */
static void test_every_window(void **state)
{
	struct cost most = {0}, cost, all = {0};
	struct rounds rounds;
	uint64_t s;

	(void)state;
	for (s = 60; s < 7200; s++) {
		struct path path = {.window_ms = {s * 1000}, .ways = 1};

		cost = measure(&rounds, &usual, &path);
		check_found(&rounds, s * 1000);
		rounds_free(&rounds);
		if (cost.connections > most.connections)
			most.connections = cost.connections;
		if (cost.rounds > most.rounds)
			most.rounds = cost.rounds;
		if (cost.ms / s > most.ms)
			most.ms = cost.ms / s;
		all.connections += cost.connections;
	}
	print_message("at most %zu rounds, %zu connections, %.1f windows; on average %zu\n",
		      most.rounds, most.connections, (double)most.ms / 1000,
		      all.connections / (7200 - 60));
	assert_in_range(most.rounds, 3, 5);
	assert_in_range(most.connections, 20, 40);
	assert_in_range(most.ms, 3000, 9000);
}

/* With any number of connections, and any resolution. */
static void test_options(void **state)
{
	struct rounds_options options = usual;
	struct rounds rounds;
	uint64_t s;

	(void)state;
	for (options.connections = 1; options.connections <= ROUNDS_CONNECTIONS_MAX;
	     options.connections++) {
		for (options.resolution_permille = 10; options.resolution_permille <= 250;
		     options.resolution_permille += 48) {
			for (s = 61; s < 7200; s += 397) {
				struct path path = {.window_ms = {s * 1000}, .ways = 1};

				measure(&rounds, &options, &path);
				check_found(&rounds, s * 1000);
				rounds_free(&rounds);
			}
		}
	}
}

/* Below --from it goes on, down to what the control lives with. */
static void test_below(void **state)
{
	struct rounds rounds;
	uint64_t s;

	(void)state;
	for (s = 17; s < 60; s++) {
		struct path path = {.window_ms = {s * 1000}, .ways = 1};

		measure(&rounds, &usual, &path);
		check_found(&rounds, s * 1000);
		rounds_free(&rounds);
	}
}

/* Nothing is forgotten: the longest gap is tried again, by all connections. */
static void test_never(void **state)
{
	struct path path = {.window_ms = {UINT64_MAX}, .ways = 1};
	struct rounds_options options = usual;
	struct rounds rounds;
	struct cost cost;

	(void)state;
	for (options.connections = 1; options.connections < 20; options.connections++) {
		cost = measure(&rounds, &options, &path);
		assert_true(rounds_found(&rounds));
		assert_true(rounds.lived_ms >= options.to_ms);
		assert_int_equal(rounds.forgotten_ms, 0);
		assert_true(rounds.list[rounds.n - 1].idle_ms >= options.to_ms);
		if (options.connections >= 4)
			assert_int_equal(cost.rounds, 2);
		rounds_free(&rounds);
	}
}

/* The first round tells all known windows apart that are far enough from each other. */
static void test_straddles(void **state)
{
	uint64_t gaps[ROUNDS_CONNECTIONS_MAX];
	struct rounds rounds;
	const struct known_window *known;
	size_t n, n_known, i, j;

	(void)state;
	rounds_init(&rounds, &usual);
	n = rounds_next(&rounds, gaps);
	known = known_windows(&n_known);
	assert_int_equal(n, 8);
	assert_int_equal(gaps[0], usual.from_ms);
	assert_int_equal(gaps[n - 1], usual.to_ms);
	for (i = 1; i < n_known; i++) {
		assert_true(known[i].s > known[i - 1].s);
		for (j = 0; j < n; j++) {
			if (gaps[j] > known[i - 1].s * 1000 && gaps[j] < known[i].s * 1000)
				break;
		}
		/* IPVS' 900 s and Alibaba's 910 s are within 5% of each other. */
		assert_true(known[i].s == 910 ? j == n : j < n);
	}
}

/* Several ways with windows of their own: the shortest one counts, whoever came first, and it is
 * found within the resolution. */
static void test_mixed(void **state)
{
	static const struct {
		uint64_t tenths[4]; /* of the shortest window; UINT64_MAX: never */
		size_t ways;
	} kinds[] = {{{10, 20}, 2},	    {{10, 37}, 2},     {{10, 12}, 2},
		     {{10, UINT64_MAX}, 2}, {{10, 15, 40}, 3}, {{10, 100, 100, 100}, 4}};
	size_t wrong, n, most, kind, way;
	struct rounds rounds;
	struct cost cost;
	unsigned seed;
	uint64_t s;

	(void)state;
	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		wrong = n = most = 0;
		for (s = 100; s < 3000; s += 130) {
			for (seed = 1; seed <= 50; seed++) {
				struct path path = {.ways = kinds[kind].ways, .hash = seed * 7919u};

				for (way = 0; way < path.ways; way++)
					path.window_ms[way] =
						kinds[kind].tenths[way] == UINT64_MAX
							? UINT64_MAX
							: s * 100 * kinds[kind].tenths[way];
				cost = measure(&rounds, &usual, &path);
				assert_true(rounds_found(&rounds));
				assert_true(!rounds.forgotten_ms ||
					    rounds.forgotten_ms >= s * 1000);
				assert_true(rounds.forgotten_ms * 1000 <= rounds.lived_ms * 1050);
				/* It may be that all connections of the confirmation took one way.
				 */
				wrong += !rounds.forgotten_ms || rounds.lived_ms >= s * 1000;
				if (cost.rounds > most)
					most = cost.rounds;
				n++;
				rounds_free(&rounds);
			}
		}
		print_message(
			"%zu: %zu of %zu had a number that only one way has; %zu rounds at most\n",
			kind, wrong, n, most);
		assert_in_range(wrong, 0, kinds[kind].ways < 3 ? n / 60 : n / 4);
	}
}

/* A window that shrinks whenever it is about to be confirmed is confirmed no more in the end, but
 * what is said of it is as close as was asked for. */
static void test_shrinks(void **state)
{
	struct path path = {.window_ms = {3600000}, .ways = 1};
	struct cost cost = {0};
	struct rounds rounds;

	(void)state;
	rounds_init(&rounds, &usual);
	while (rounds.phase != ROUNDS_DONE) {
		assert_in_range(cost.rounds, 0, 60);
		if (rounds.phase == ROUNDS_CONFIRM)
			path.window_ms[0] = rounds.lived_ms * 9 / 10;
		run_round(&rounds, &path, &cost);
	}
	assert_true(rounds_found(&rounds) && rounds.confirmations >= 10);
	assert_true(rounds.forgotten_ms * 1000 <= rounds.lived_ms * 1050);
	rounds_free(&rounds);
}

/* A flow in a hundred is evicted: what was seen is told, and the shortest counts. */
static void test_evicted(void **state)
{
	struct path path = {.window_ms = {UINT64_MAX}, .ways = 1};
	uint64_t gaps[ROUNDS_CONNECTIONS_MAX];
	struct idled idled[ROUNDS_CONNECTIONS_MAX] = {0};
	struct cost cost = {0};
	struct rounds rounds;
	size_t i, n;

	(void)state;
	rounds_init(&rounds, &usual);
	n = rounds_next(&rounds, gaps);
	for (i = 0; i < n; i++)
		idled[i] = (struct idled){gaps[i], i == 3 ? OUTCOME_RESET : OUTCOME_ANSWERED};
	assert_int_equal(rounds_take(&rounds, idled, n), 0);
	assert_true(rounds.mixed);
	while (rounds.phase != ROUNDS_DONE)
		run_round(&rounds, &path, &cost);
	assert_true(rounds.mixed && rounds_found(&rounds));
	assert_int_equal(rounds.forgotten_ms, gaps[3]);
	assert_int_equal(rounds.how, OUTCOME_RESET);
	rounds_free(&rounds);
}

/* A round that doesn't count is made again as it was, three times. */
static void test_void(void **state)
{
	uint64_t gaps[ROUNDS_CONNECTIONS_MAX], again[ROUNDS_CONNECTIONS_MAX];
	struct path path = {.window_ms = {350000}, .ways = 1};
	struct idled idled = {60000, OUTCOME_SILENCE}, nothing = {61000, OUTCOME_VOID};
	struct cost cost = {0};
	struct rounds rounds;
	size_t n, i;

	(void)state;
	rounds_init(&rounds, &usual);
	n = rounds_next(&rounds, gaps);
	assert_int_equal(rounds_void(&rounds, &idled, 1), 0);
	assert_int_equal(rounds_next(&rounds, again), n);
	assert_memory_equal(gaps, again, n * sizeof(*gaps));
	assert_int_equal(rounds.forgotten_ms, 0);
	assert_int_equal(rounds.list[0].outcome, OUTCOME_VOID);
	assert_int_equal(rounds.list[0].idle_ms, 60000);
	run_round(&rounds, &path, &cost); /* one that counts: from now on three again */
	n = rounds_next(&rounds, gaps);
	for (i = 0; i < ROUNDS_AGAIN_MAX; i++) {
		assert_int_equal(rounds_take(&rounds, &nothing, 1), 0);
		assert_int_equal(rounds_next(&rounds, again), n);
		assert_memory_equal(gaps, again, n * sizeof(*gaps));
	}
	assert_int_equal(rounds_void(&rounds, NULL, 0), -EAGAIN);
	rounds_free(&rounds);
}

/* A server that closes what idles: what is shorter is found, and what isn't is told. */
static void test_server_closes(void **state)
{
	struct path longer = {.window_ms = {900000}, .ways = 1, .close_ms = 600000};
	struct path shorter = {.window_ms = {350000}, .ways = 1, .close_ms = 600000};
	struct path at_once = {.window_ms = {350000}, .ways = 1, .close_ms = 30000};
	struct rounds rounds;

	(void)state;
	measure(&rounds, &usual, &shorter);
	check_found(&rounds, 350000);
	rounds_free(&rounds);
	measure(&rounds, &usual, &longer);
	assert_false(rounds_found(&rounds));
	assert_int_equal(rounds.limit_ms, 600000);
	assert_true(rounds.lived_ms >= 570000 && rounds.lived_ms < 600000);
	rounds_free(&rounds);
	measure(&rounds, &usual, &at_once);
	assert_false(rounds_found(&rounds));
	assert_int_equal(rounds.lived_ms, 0);
	rounds_free(&rounds);
}

/* What is left never grows by a round that goes well, and is nothing at the end. */
static void test_left(void **state)
{
	struct path path = {.window_ms = {350000}, .ways = 1};
	struct cost cost = {0};
	struct rounds rounds;
	uint64_t left, before;

	(void)state;
	rounds_init(&rounds, &usual);
	left = rounds_left_ms(&rounds);
	assert_int_equal(left, 2 * usual.to_ms);
	while (rounds.phase != ROUNDS_DONE) {
		before = cost.ms;
		run_round(&rounds, &path, &cost);
		assert_true(rounds_left_ms(&rounds) + cost.ms - before <= left + 20);
		left = rounds_left_ms(&rounds);
	}
	assert_int_equal(left, 0);
	rounds_free(&rounds);
}

/* Few gaps or many, close or far: ascending, within bounds. */
static void test_grids(void **state)
{
	uint64_t gaps[ROUNDS_CONNECTIONS_MAX];
	size_t n, got, i;

	(void)state;
	for (n = 1; n <= ROUNDS_CONNECTIONS_MAX; n++) {
		got = grid_straddle(3000, 12000, 1050, gaps, n);
		assert_in_range(got, 1, n);
		assert_int_equal(gaps[got - 1], 12000);
		for (i = 1; i < got; i++)
			assert_true(gaps[i] * 1000 > gaps[i - 1] * 1020);
		got = grid_divide(3000, 12000, 1050, gaps, n);
		assert_in_range(got, 1, n);
		for (i = 0; i < got; i++)
			assert_true(gaps[i] > (i ? gaps[i - 1] : 3000) && gaps[i] < 12000);
	}
	assert_int_equal(grid_divide(1000, 1010, 1050, gaps, 8), 0);
	assert_int_equal(grid_straddle(1000, 1010, 1050, gaps, 8), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_window), cmocka_unit_test(test_options),
		cmocka_unit_test(test_below),	     cmocka_unit_test(test_never),
		cmocka_unit_test(test_straddles),    cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_shrinks),	     cmocka_unit_test(test_evicted),
		cmocka_unit_test(test_void),	     cmocka_unit_test(test_server_closes),
		cmocka_unit_test(test_left),	     cmocka_unit_test(test_grids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
