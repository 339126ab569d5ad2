// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tests what a rule learns of its path: each statement of the manual by itself, and every sequence
 * of six observations against a plain model, which looks at all of the history each time.
 * The file is long because it has that model.
 */
#include "unit.h"

#include "base/util.h"
#include "rules/window.h"

#include <stdbool.h>
#include <string.h>

#define MINUTE 60000u
#define TIME_S 200u

/* A rule whose clock the tests turn. */
struct path {
	struct window window;
	uint64_t now_ms, window_ms;
	uint16_t time_s;
};

static struct path new_path(void)
{
	return (struct path){.now_ms = 1000 * MINUTE, .time_s = TIME_S};
}

static enum window_verdict tell(struct path *path, enum window_event_kind kind, uint64_t gap_ms,
				uint8_t peer)
{
	const struct window_event event = {
		.kind = kind, .at_ms = path->now_ms, .gap_ms = gap_ms, .peer = {peer}};
	enum window_verdict verdict =
		window_learn(&path->window, &event, path->time_s, path->window_ms);

	path->time_s = window_time(&path->window, TIME_S, 0);
	return verdict;
}

/* After the gap that the time in force makes, a little late. */
static enum window_verdict survive(struct path *path)
{
	return tell(path, WINDOW_SURVIVED, path->time_s * 1010u, 0);
}

static enum window_verdict forget(struct path *path, uint8_t peer)
{
	return tell(path, WINDOW_FORGOTTEN, path->time_s * 1010u, peer);
}

static enum window_verdict reconnect(struct path *path, uint8_t peer)
{
	return tell(path, WINDOW_CONNECTED, 0, peer);
}

/* A pool of several: one episode of loss. */
static void test_pool(void **state)
{
	struct path path = new_path();

	(void)state;
	assert_int_equal(forget(&path, 1), WINDOW_NOTHING);
	assert_int_equal(forget(&path, 1), WINDOW_NOTHING);
	assert_int_equal(reconnect(&path, 2), WINDOW_NOTHING); /* that peer has lost none */
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
	assert_int_equal(path.time_s, 120);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	assert_int_equal(path.window.forgotten_count, 2);
}

/* A single connection: two episodes. */
static void test_single(void **state)
{
	struct path path = new_path();

	(void)state;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	path.now_ms += 4 * MINUTE;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
}

/* All steps, and no further. */
static void test_steps(void **state)
{
	const uint16_t steps[] = {120, 60, 30, 15};
	struct path path = new_path();
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		forget(&path, 1);
		forget(&path, 1);
		assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
		assert_int_equal(path.time_s, steps[i]);
	}
	forget(&path, 1);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	assert_int_equal(path.time_s, 15);
	assert_int_equal(window_next_step(200), 120);
	assert_int_equal(window_next_step(120), 60);
	assert_int_equal(window_next_step(61), 60);
	assert_int_equal(window_next_step(15), 0);
	assert_int_equal(window_next_step(7), 0);
}

/* A restart, a failover, an outage of whatever length: where a gap was survived before. */
static void test_accidents(void **state)
{
	struct path path = new_path();
	uint8_t peer;

	(void)state;
	survive(&path);
	for (peer = 0; peer < 20; peer++)
		assert_int_equal(forget(&path, peer), WINDOW_NOTHING);
	for (peer = 0; peer < 20; peer++)
		assert_int_equal(reconnect(&path, peer), WINDOW_NOTHING);

	/* An hour in which connections give up one after the other, and none is taken. */
	for (peer = 0; peer < 6; peer++) {
		path.now_ms += 11 * MINUTE;
		assert_int_equal(forget(&path, peer), WINDOW_NOTHING);
	}
	/* The first boundary had connections taken before it: the restart's. What follows clears.
	 */
	survive(&path);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	assert_int_equal(path.time_s, TIME_S);
}

/* A window that has shrunk is learned, in two episodes ten minutes apart. */
static void test_shrunk(void **state)
{
	struct path path = new_path();

	(void)state;
	survive(&path);
	forget(&path, 1);
	reconnect(&path, 1);
	path.now_ms += 9 * MINUTE;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	path.now_ms += 10 * MINUTE;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
	assert_int_equal(path.time_s, 120);
	/* Nothing has survived a gap of the new time yet: two are enough. */
	forget(&path, 1);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
	assert_int_equal(path.time_s, 60);
}

/*
 * A pool that is busy loses connections all the time. But an accident right after another one
 * isn't a stream of losses: nothing is taken while it goes on.
 */
static void test_stream(void **state)
{
	struct path path = new_path();

	(void)state;
	survive(&path);
	forget(&path, 1);
	reconnect(&path, 1);
	path.now_ms += 5 * MINUTE;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	path.now_ms += 5 * MINUTE;
	forget(&path, 1);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);

	path = new_path();
	survive(&path);
	forget(&path, 1);
	reconnect(&path, 1);
	path.now_ms += 8 * MINUTE;
	forget(&path, 1);
	path.now_ms += 3 * MINUTE;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
}

/* One that is survived in between clears what stood against the path. */
static void test_survived_between(void **state)
{
	struct path path = new_path();
	int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		forget(&path, 1);
		reconnect(&path, 1);
		path.now_ms += 30 * MINUTE;
		survive(&path);
	}
	assert_int_equal(path.time_s, TIME_S);
	assert_int_equal(path.window.survived_ms, TIME_S * 1010);
	assert_int_equal(path.window.survived_count, 10);
	/* A gap that is shorter than the time in force proves nothing of it. */
	path = new_path();
	forget(&path, 1);
	tell(&path, WINDOW_SURVIVED, TIME_S * 1000 - 1, 0);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
}

/* What gave up after a longer gap, or slept, or went another way, was due to something else. */
static void test_other_reasons(void **state)
{
	struct path path = new_path();
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		tell(&path, WINDOW_FORGOTTEN, TIME_S * 1250 + 1001, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);

	tell(&path, WINDOW_SLEPT, 0, 0);
	path.now_ms += 100000;
	for (i = 0; i < 3; i++)
		forget(&path, 1); /* its gap began before */
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);

	path.now_ms += 10 * MINUTE;
	forget(&path, 1);
	tell(&path, WINDOW_MOVED, 0, 0);
	path.now_ms += 10 * MINUTE;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
}

/* What was survived on another path says nothing of this one. */
static void test_moved(void **state)
{
	struct path path = new_path();

	(void)state;
	survive(&path);
	tell(&path, WINDOW_MOVED, 0, 0);
	path.now_ms += 10 * MINUTE;
	forget(&path, 1);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_SHORTEN);
}

/* More peers than are remembered: then any of them counts. */
static void test_many_peers(void **state)
{
	struct path path = new_path();
	uint8_t peer;

	(void)state;
	for (peer = 1; peer <= WINDOW_PEERS; peer++)
		forget(&path, peer);
	assert_int_equal(reconnect(&path, 99), WINDOW_NOTHING);
	forget(&path, peer);
	assert_int_equal(reconnect(&path, 99), WINDOW_SHORTEN);
}

/* A rule that says a window keeps it, and is told once that it is too long. */
static void test_own_window(void **state)
{
	struct path path = new_path();

	(void)state;
	path.window_ms = 3600000;
	forget(&path, 1);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_TOO_LONG);
	assert_int_equal(path.time_s, TIME_S);
	forget(&path, 1);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
	survive(&path);
	path.now_ms += MINUTE;
	forget(&path, 1);
	reconnect(&path, 1);
	path.now_ms += 11 * MINUTE;
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_TOO_LONG);

	/* After the window that it says, flows may be forgotten. */
	path = new_path();
	path.window_ms = TIME_S * 1005;
	forget(&path, 1);
	forget(&path, 1);
	assert_int_equal(reconnect(&path, 1), WINDOW_NOTHING);
}

/* The rule's time, what was learned, and a third of this host's own window: the shortest. */
static void test_time(void **state)
{
	const struct window learned = {.time_s = 60}, none = {0};

	(void)state;
	assert_int_equal(window_time(&none, 200, 0), 200);
	assert_int_equal(window_time(&learned, 200, 0), 60);
	assert_int_equal(window_time(&learned, 45, 0), 45);
	assert_int_equal(window_time(&none, 200, 432000000), 200);
	assert_int_equal(window_time(&none, 200, 300000), 100);
	assert_int_equal(window_time(&none, 200, 500000), 166);
	assert_int_equal(window_time(&learned, 200, 90000), 30);
	assert_int_equal(window_time(&none, 200, 2999), 1);
}

/* What is read from a pin may be anything. */
static void test_sane(void **state)
{
	struct path path = new_path();
	struct window window;

	(void)state;
	assert_true(window_is_sane(&path.window, 0));
	survive(&path);
	forget(&path, 1);
	reconnect(&path, 1);
	assert_true(window_is_sane(&path.window, path.now_ms));
	assert_false(window_is_sane(&path.window, path.now_ms - 1));
#define WRONG(member, value)                                                                       \
	window = path.window;                                                                      \
	window.member = (value);                                                                   \
	assert_false(window_is_sane(&window, path.now_ms))
	WRONG(first_ms, path.now_ms + 1);
	WRONG(void_ms, path.now_ms + 1);
	WRONG(forgotten, 0);
	WRONG(forgotten, 2);
	WRONG(n_peers, 2);
	window = path.window;
	window.forgotten_count = WINDOW_PEERS + 2;
	window.forgotten = window.n_peers = WINDOW_PEERS + 2;
	assert_false(window_is_sane(&window, path.now_ms));
	WRONG(taken, 2);
	WRONG(again, 2);
	WRONG(survives, 2);
	WRONG(warned, 2);
	WRONG(time_s, 200);
	WRONG(pad[0], 1);
	WRONG(pad[1], 1);
#undef WRONG
	window = (struct window){.time_s = 15};
	assert_true(window_is_sane(&window, 0));
	window.again = 1;
	assert_false(window_is_sane(&window, 0));
}

/* What stands against the path is counted up to the greatest number there is. */
static void test_countless(void **state)
{
	struct path path = new_path();

	(void)state;
	path.window.forgotten = UINT32_MAX;
	path.window.forgotten_count = UINT32_MAX;
	forget(&path, 1);
	assert_int_equal(path.window.forgotten, UINT32_MAX);
	assert_int_equal(path.window.forgotten_count, UINT64_C(1) << 32);
	assert_true(window_is_sane(&path.window, path.now_ms));
}

/* --- the model --- */

enum observation {
	LIVED,	     /* a gap of the time in force was survived */
	LIVED_SHORT, /* a shorter one */
	LOST,	     /* peer 1 lost one, right away */
	LOST_SOON,   /* ... six minutes after the observation before */
	LOST_LATER,  /* ... eleven minutes after it */
	TAKEN,	     /* peer 1 took a new one */
	TAKEN_OTHER, /* another peer did */
	WENT,	     /* the path moved, and half an hour passed */
	N_OBSERVATIONS,
};

#define LENGTH 6

static bool is_lost(enum observation o)
{
	return o == LOST || o == LOST_SOON || o == LOST_LATER;
}

/*
 * Whether the last observation is the one that convicts the path. from: the first that counts
 * (behind the last step, or the last change of routes).
 */
static bool model_convicts(const enum observation *all, size_t from, size_t n)
{
	bool proven = false, taken = false, again = false;
	size_t i, lost = 0, minutes = 0;

	if (all[n - 1] != TAKEN)
		return false;
	for (i = from; i < n; i++) {
		if (all[i] == LIVED) {
			proven = true;
			lost = 0;
			taken = again = false;
		} else if (is_lost(all[i])) {
			minutes += all[i] == LOST_LATER ? 11 : all[i] == LOST_SOON ? 6 : 0;
			if (!lost)
				minutes = 0;
			again = again || (taken && minutes >= 10);
			taken = false;
			lost++;
		} else if (all[i] == TAKEN && lost) {
			taken = true;
		}
	}
	return taken && (proven ? again : lost >= 2);
}

static enum window_verdict observe(struct path *path, enum observation o)
{
	switch (o) {
	case LIVED:
		return survive(path);
	case LIVED_SHORT:
		return tell(path, WINDOW_SURVIVED, path->time_s * 1000u - 1, 0);
	case LOST_LATER:
		path->now_ms += 11 * MINUTE;
		return forget(path, 1);
	case LOST_SOON:
		path->now_ms += 6 * MINUTE;
		return forget(path, 1);
	case LOST:
		return forget(path, 1);
	case TAKEN:
		return reconnect(path, 1);
	case TAKEN_OTHER:
		return reconnect(path, 2);
	case WENT:
		tell(path, WINDOW_MOVED, 0, 0);
		path->now_ms += 30 * MINUTE;
		break;
	case N_OBSERVATIONS:
		break;
	}
	return WINDOW_NOTHING;
}

static void run_sequence(size_t number)
{
	enum observation all[LENGTH];
	struct path path = new_path();
	size_t i, from = 0, steps = 0;
	bool convicted;

	for (i = 0; i < LENGTH; i++, number /= N_OBSERVATIONS) {
		all[i] = (enum observation)(number % N_OBSERVATIONS);
		convicted = model_convicts(all, from, i + 1);
		if ((observe(&path, all[i]) == WINDOW_SHORTEN) != convicted) {
			for (from = 0; from <= i; from++)
				print_error("%d ", (int)all[from]);
			fail_msg("the model says %d", convicted);
		}
		steps += convicted;
		if (convicted || all[i] == WENT)
			from = i + 1;
	}
	assert_int_equal(path.time_s, ((const uint16_t[]){200, 120, 60})[steps]);
}

static void test_every_sequence(void **state)
{
	size_t i, n = 1;

	(void)state;
	for (i = 0; i < LENGTH; i++)
		n *= N_OBSERVATIONS;
	for (i = 0; i < n; i++)
		run_sequence(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_accidents),
		cmocka_unit_test(test_shrunk),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_survived_between),
		cmocka_unit_test(test_other_reasons),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_many_peers),
		cmocka_unit_test(test_own_window),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_sane),
		cmocka_unit_test(test_countless),
		cmocka_unit_test(test_every_sequence),
	};

	return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
