// SPDX-License-Identifier: GPL-2.0-or-later
/* How work paces itself: the shares of a CPU that it takes in the long run. */
#include "unit.h"

#include "../../daemon/pace.h"

#define SECOND_US 1000000ull
#define HOUR_US	  (3600 * SECOND_US)

/* Events that never end, each answered as soon as it may be: the CPU time of an hour. */
static uint64_t spent_in_an_hour(uint64_t share, uint64_t burst_us, uint64_t cost_us,
				 uint64_t every_us, uint64_t *first_us)
{
	uint64_t now_us = 5 * SECOND_US, begin_us = now_us, spent_us = 0, wait_us;
	struct pace pace;

	pace_init(&pace, share, burst_us, now_us);
	*first_us = 0;
	while (now_us < begin_us + HOUR_US) {
		spent_us += cost_us;
		wait_us = pace_spend(&pace, now_us, cost_us);
		if (wait_us && !*first_us)
			*first_us = now_us - begin_us;
		now_us += wait_us > every_us ? wait_us : every_us;
	}
	return spent_us;
}

/* The long run of answers to events: 0.1 %, after a burst that is answered at once. */
static void test_events(void **state)
{
	uint64_t first_us;

	(void)state;
	assert_in_range(
		spent_in_an_hour(PACE_EVENT, PACE_EVENT_BURST_US, 5000, SECOND_US / 10, &first_us),
		HOUR_US / 1000, HOUR_US / 1000 + PACE_EVENT_BURST_US + 5000);
	assert_true(first_us > 60 * SECOND_US); /* a thousand answers later */
	assert_in_range(spent_in_an_hour(PACE_EVENT, PACE_EVENT_BURST_US, 3 * SECOND_US, SECOND_US,
					 &first_us),
			0, HOUR_US / 1000 + PACE_EVENT_BURST_US + 3 * SECOND_US);
	/* Who takes less is never made to wait. */
	assert_int_equal(
		spent_in_an_hour(PACE_EVENT, PACE_EVENT_BURST_US, 900, SECOND_US, &first_us),
		900 * 3600);
	assert_int_equal(first_us, 0);
}

/* Full passes: 0.4 %; a hundred milliseconds each minute is less than that. */
static void test_passes(void **state)
{
	uint64_t first_us;

	(void)state;
	assert_int_equal(
		spent_in_an_hour(PACE_PASS, PACE_PASS_BURST_US, 100000, 60 * SECOND_US, &first_us),
		100000 * 60);
	assert_int_equal(first_us, 0);
	/* Ten milliseconds each second are more, but not at once. */
	assert_in_range(
		spent_in_an_hour(PACE_PASS, PACE_PASS_BURST_US, 10000, SECOND_US, &first_us),
		HOUR_US / 250, HOUR_US / 250 + PACE_PASS_BURST_US + 10000);
	assert_in_range(first_us, 400 * SECOND_US, 600 * SECOND_US);
	assert_in_range(spent_in_an_hour(PACE_PASS, PACE_PASS_BURST_US, SECOND_US, 60 * SECOND_US,
					 &first_us),
			HOUR_US / 250, HOUR_US / 250 + PACE_PASS_BURST_US + SECOND_US);
}

/* A clock that has stood still for long brings no more than one burst. */
static void test_rest(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, PACE_EVENT, PACE_EVENT_BURST_US, 0);
	assert_int_equal(pace_spend(&pace, 100 * HOUR_US, PACE_EVENT_BURST_US), 0);
	assert_int_equal(pace_spend(&pace, 100 * HOUR_US, 7), 7 * PACE_EVENT);
	assert_int_equal(pace_spend(&pace, 100 * HOUR_US + 7 * PACE_EVENT, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
