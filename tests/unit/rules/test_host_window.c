// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests what counts of what this host itself forgets. */
#include "unit.h"

#include "rules/host_window.h"

static struct host_window a_window(uint64_t window_s, uint64_t cookie)
{
	return (struct host_window){.window_ms = window_s * 1000, .netns = 4, .cookie = cookie};
}

static struct host_sight a_sight(uint64_t window_s, uint64_t cookie)
{
	return (struct host_sight){.shortest = a_window(window_s, cookie), .asked = true};
}

static void test_rounding(void **state)
{
	uint64_t idle_ms;

	(void)state;
	assert_int_equal(host_window_of(300, 0), 301000); /* 300 means up to 301 */
	assert_int_equal(host_window_of(299, 0), 300000);
	/* Whatever the idle time: the entry has idled for it, and shows the rest rounded down. */
	for (idle_ms = 20; idle_ms < 299000; idle_ms += 7) {
		uint32_t left_s = (uint32_t)((300000 - idle_ms) / 1000);

		assert_in_range(host_window_of(left_s, idle_ms), 300000, 301000);
		/* the socket's clock is up to a tick behind */
		assert_in_range(host_window_of(left_s, idle_ms - 10), 300000, 301000);
	}
	assert_int_equal(host_window_of(432000, 1500), 432002000);
	assert_true(host_window_of(UINT32_MAX, UINT32_MAX) > UINT32_MAX);
}

static void test_see(void **state)
{
	struct host_sight sight = {0};
	struct host_window one = {0};

	(void)state;
	host_window_see(&sight, &one);
	assert_int_equal(sight.shortest.window_ms, 0);
	one = a_window(900, 1);
	one.harmful = 1;
	host_window_see(&sight, &one);
	assert_int_equal(sight.shortest.window_ms, 900000);
	/* A shorter one that does no harm replaces one that does. */
	one = a_window(300, 2);
	host_window_see(&sight, &one);
	assert_int_equal(sight.shortest.cookie, 2);
	assert_int_equal(sight.shortest.harmful, 0);
	/* Of two that are the same, give or take a second, the harm counts. */
	one = a_window(301, 3);
	one.harmful = 1;
	host_window_see(&sight, &one);
	assert_int_equal(sight.shortest.cookie, 2);
	assert_int_equal(sight.shortest.harmful, 1);
	one = a_window(299, 4);
	host_window_see(&sight, &one);
	assert_int_equal(sight.shortest.cookie, 4);
	assert_int_equal(sight.shortest.harmful, 1);
	one = a_window(600, 5);
	host_window_see(&sight, &one);
	assert_int_equal(sight.shortest.window_ms, 299000);
}

static void test_shorter_at_once(void **state)
{
	struct host_window now = {0};
	struct host_sight sight = a_sight(300, 1);

	(void)state;
	sight.asked = false;
	host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 0);
	sight.asked = true;
	host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 300000);
	assert_int_equal(now.netns, 4);
	sight = a_sight(60, 2);
	host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 60000);
	assert_int_equal(now.cookie, 2);
	/* A second more is the same, shown by another connection. */
	sight = a_sight(61, 3);
	host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 60000);
	assert_int_equal(now.cookie, 3);
}

static void test_longer(void **state)
{
	struct host_window now = a_window(60, 1);
	struct host_sight sight = a_sight(300, 2);
	int i;

	(void)state;
	now.warned = 1;
	sight.denied = true;
	host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 300000);
	assert_int_equal(now.warned, 1);
	/* Nothing is tracked any more. */
	sight = a_sight(0, 0);
	sight.denied = true;
	host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 0);
	/* The connection that has shown it is gone: it takes several looks. */
	now = a_window(60, 1);
	sight = a_sight(300, 2);
	for (i = 1; i < HOST_WINDOW_MISSES; i++) {
		host_window_take(&now, &sight);
		assert_int_equal(now.window_ms, 60000);
	}
	sight = a_sight(60, 4);
	host_window_take(&now, &sight); /* as short: they count anew */
	sight = a_sight(300, 2);
	for (i = 1; i < HOST_WINDOW_MISSES; i++)
		host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 60000);
	host_window_take(&now, &sight);
	assert_int_equal(now.window_ms, 300000);
	assert_int_equal(now.missed, 0);
}

static void test_denies(void **state)
{
	struct host_window now = a_window(300, 1);

	(void)state;
	assert_true(host_window_denies(&now, 450000, 0));
	assert_false(host_window_denies(&now, 301000, 0));
	assert_false(host_window_denies(&now, 60000, 0));
	assert_true(host_window_denies(&now, 0, 29999));
	assert_false(
		host_window_denies(&now, 0, 30000)); /* a shorter timeout may have forgotten it */
	now.window_ms = 20000;
	assert_true(host_window_denies(&now, 0, 19999));
	assert_false(host_window_denies(&now, 0, 20000)); /* forgotten, as it says */
}

static void test_stale(void **state)
{
	struct host_entry before = {.packet_ms = 10000, .drops_ms = 310000};
	struct host_entry now = before;

	(void)state;
	assert_false(host_entry_is_stale(&before, &now)); /* no packet has passed */
	now.packet_ms = 12999;
	assert_false(host_entry_is_stale(&before, &now)); /* too little to tell */
	now.packet_ms = 13000;
	now.drops_ms = 310900;
	assert_true(host_entry_is_stale(&before, &now));
	now.drops_ms = 313000;
	assert_false(host_entry_is_stale(&before, &now));
	now.drops_ms = 73000; /* the timeout is 60 s now */
	assert_false(host_entry_is_stale(&before, &now));
	/* It stays so until a packet counts. */
	before.stale = true;
	now = before;
	assert_true(host_entry_is_stale(&before, &now));
	now.drops_ms += 2000;
	assert_false(host_entry_is_stale(&before, &now));
}

static void test_bound(void **state)
{
	struct host_window now = a_window(6, 1);

	(void)state;
	assert_int_equal(host_window_bound(&now), 6000);
	now.foreign = 1;
	assert_int_equal(host_window_bound(&now), HOST_WINDOW_FOREIGN_MS);
	now.window_ms = 300000;
	assert_int_equal(host_window_bound(&now), 300000);
	now.window_ms = 0;
	assert_int_equal(host_window_bound(&now), 0);
}

static void test_warns(void **state)
{
	struct host_window now = a_window(300, 1);

	(void)state;
	assert_false(host_window_warns(&now, 3600000)); /* harmless */
	now.harmful = 1;
	assert_false(host_window_warns(&now, 300000));
	assert_true(host_window_warns(&now, 300001));
	assert_false(host_window_warns(&now, 300001)); /* once */
	now = (struct host_window){.harmful = 1};
	assert_false(host_window_warns(&now, 300001));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounding),	cmocka_unit_test(test_see),
		cmocka_unit_test(test_shorter_at_once), cmocka_unit_test(test_longer),
		cmocka_unit_test(test_denies),		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_bound),		cmocka_unit_test(test_warns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
