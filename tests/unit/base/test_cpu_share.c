// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests which share of a CPU the work takes in the long run. */
#include "unit.h"

#include "base/cpu_share.h"

#define SECOND_US 1000000ull
#define HOUR_US	  (3600 * SECOND_US)

/*
 * Returns the CPU time that an hour of endless events costs, each of which is answered as soon as
 * that is allowed. *first_us is set to the time of the first wait; 0: there was none.
 */
static uint64_t spent_in_an_hour(uint64_t share, uint64_t burst_us, uint64_t cost_us,
				 uint64_t every_us, uint64_t *first_us)
{
	uint64_t now_us = 5 * SECOND_US, begin_us = now_us, spent_us = 0, wait_us;
	struct cpu_share pace;

	cpu_share_init(&pace, share, burst_us, now_us);
	*first_us = 0;
	while (now_us < begin_us + HOUR_US) {
		spent_us += cost_us;
		wait_us = cpu_share_spend(&pace, now_us, cost_us);
		if (wait_us && !*first_us)
			*first_us = now_us - begin_us;
		now_us += wait_us > every_us ? wait_us : every_us;
	}
	return spent_us;
}

/* Answers to events take 0.1 % in the long run, after a burst that is answered at once. */
static void test_events(void **state)
{
	uint64_t first_us;

	(void)state;
	assert_in_range(spent_in_an_hour(CPU_SHARE_EVENT, CPU_SHARE_EVENT_BURST_US, 5000,
					 SECOND_US / 10, &first_us),
			HOUR_US / 1000, HOUR_US / 1000 + CPU_SHARE_EVENT_BURST_US + 5000);
	assert_true(first_us > 60 * SECOND_US); /* the burst suffices for a thousand answers */
	assert_in_range(spent_in_an_hour(CPU_SHARE_EVENT, CPU_SHARE_EVENT_BURST_US, 3 * SECOND_US,
					 SECOND_US, &first_us),
			0, HOUR_US / 1000 + CPU_SHARE_EVENT_BURST_US + 3 * SECOND_US);
	/* Work that takes less than its share never waits. */
	assert_int_equal(spent_in_an_hour(CPU_SHARE_EVENT, CPU_SHARE_EVENT_BURST_US, 900, SECOND_US,
					  &first_us),
			 900 * 3600);
	assert_int_equal(first_us, 0);
}

/* Full passes take 0.4 % in the long run. A hundred milliseconds each minute are less. */
static void test_passes(void **state)
{
	uint64_t first_us;

	(void)state;
	assert_int_equal(spent_in_an_hour(CPU_SHARE_PASS, CPU_SHARE_PASS_BURST_US, 100000,
					  60 * SECOND_US, &first_us),
			 100000 * 60);
	assert_int_equal(first_us, 0);
	/* Ten milliseconds each second are more, but the burst lasts for a while. */
	assert_in_range(spent_in_an_hour(CPU_SHARE_PASS, CPU_SHARE_PASS_BURST_US, 10000, SECOND_US,
					 &first_us),
			HOUR_US / 250, HOUR_US / 250 + CPU_SHARE_PASS_BURST_US + 10000);
	assert_in_range(first_us, 400 * SECOND_US, 600 * SECOND_US);
	assert_in_range(spent_in_an_hour(CPU_SHARE_PASS, CPU_SHARE_PASS_BURST_US, SECOND_US,
					 60 * SECOND_US, &first_us),
			HOUR_US / 250, HOUR_US / 250 + CPU_SHARE_PASS_BURST_US + SECOND_US);
}

/* A long rest saves up no more than one burst. */
static void test_rest(void **state)
{
	struct cpu_share pace;

	(void)state;
	cpu_share_init(&pace, CPU_SHARE_EVENT, CPU_SHARE_EVENT_BURST_US, 0);
	assert_int_equal(cpu_share_spend(&pace, 100 * HOUR_US, CPU_SHARE_EVENT_BURST_US), 0);
	assert_int_equal(cpu_share_spend(&pace, 100 * HOUR_US, 7), 7 * CPU_SHARE_EVENT);
	assert_int_equal(cpu_share_spend(&pace, 100 * HOUR_US + 7 * CPU_SHARE_EVENT, 0), 0);
}

/* Frequent calls lose no time: a moment that is too short to bring a microsecond of CPU time is
 * added to the next one. */
static void test_moments(void **state)
{
	struct cpu_share pace;
	uint64_t now_us;

	(void)state;
	cpu_share_init(&pace, CPU_SHARE_EVENT, 0, 0);
	assert_int_equal(cpu_share_spend(&pace, 0, 9), 9 * CPU_SHARE_EVENT);
	for (now_us = 900; now_us < 9 * CPU_SHARE_EVENT; now_us += 900)
		assert_in_range(cpu_share_spend(&pace, now_us, 0), 9 * CPU_SHARE_EVENT - now_us,
				10 * CPU_SHARE_EVENT - now_us);
	assert_int_equal(cpu_share_spend(&pace, now_us, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_moments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
