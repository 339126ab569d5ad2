// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests plans, with a socket that only remembers what is set. */
#include "unit.h"

#include "base/util.h"

#define SOL_SOCKET	 1
#define SO_KEEPALIVE	 9
#define SOL_TCP		 6
#define TCP_KEEPIDLE	 4
#define TCP_KEEPINTVL	 5
#define TCP_KEEPCNT	 6
#define TCP_USER_TIMEOUT 18

#define HF_OPTION(ctx, level, option, value) ((void)(ctx), (void)(value), 0)
#define HF_READ(socket, keepalive)	     ((void)(socket), (void)(keepalive))
#include "bpf/plan.h"

/* Of a connection that is overdue, a shorter user timeout is left for a later visit. */
static void test_postponed_user_timeout(void **state)
{
	static const struct {
		uint32_t idle_ms, on, time_s, now_ms, want_ms, after_ms;
		bool postponed;
	} cases[] = {
		{600000, 1, 600, 0, 900000, 0, true},
		{599999, 1, 600, 0, 900000, 900000, false}, /* not overdue */
		{0, 1, 600, 0, 1, 1, false},
		{4000000000, 1, 32767, 0, 900000, 0, true},
		{7200000, 1, 0, 0, 900000, 0, true}, /* by the sysctl */
		{7199999, 1, 0, 0, 900000, 900000, false},
		{600000, 0, 600, 0, 900000, 900000, false},    /* without probes */
		{600000, 1, 600, 5000, 4999, 5000, true},      /* shorter than before */
		{600000, 1, 600, 5000, 5000, 5000, false},     /* set already */
		{600000, 1, 600, 5000, 900000, 900000, false}, /* longer */
		{600000, 1, 600, 5000, 0, 0, false},	       /* none any more */
		{600000, 1, 600, 0, 0, 0, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hf_plan plan = {
			.now = {1, 600, 60, 5, cases[i].now_ms},
			.sysctls = {0, 7200, 75, 9, 0},
			.want = {cases[i].on, cases[i].time_s, 60, 5, cases[i].want_ms},
		};
		const struct hf_keepalive want = plan.want;
		const struct hf_rule rule = {0};
		struct hf_record record = {.postponed = !cases[i].postponed};

		hf_plan_postpone(&plan, cases[i].idle_ms);
		assert_int_equal(plan.want.user_timeout_ms, cases[i].after_ms);
		assert_memory_equal(&plan.want, &want,
				    offsetof(struct hf_keepalive, user_timeout_ms));
		hf_plan_record(&plan, &record, &rule);
		assert_int_equal(record.postponed, cases[i].postponed);
	}
}

/* A user timeout that was postponed is planned by the next visit that finds the socket idle for
 * less than its time. */
static void test_completed_user_timeout(void **state)
{
	const struct hf_rule rule = {
		.time_s = 600, .interval_s = 60, .probes = 5, .user_timeout_ms = 900000};
	struct hf_plan plan = {.sysctls = {0, 7200, 75, 9, 0}};
	struct hf_record record = {0};

	(void)state;
	hf_plan_hold(&plan, &record, &rule, true);
	hf_plan_postpone(&plan, 4000000);
	hf_plan_record(&plan, &record, &rule);
	record.set = plan.now = plan.want;
	assert_int_equal(plan.want.user_timeout_ms, 0);

	hf_plan_hold(&plan, &record, &rule, false);
	hf_plan_postpone(&plan, 1000);
	assert_false(plan.undone);
	assert_true(hf_plan_changes(&plan));
	assert_int_equal(plan.want.user_timeout_ms, 900000);
	hf_plan_record(&plan, &record, &rule);
	assert_false(record.postponed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_postponed_user_timeout),
		cmocka_unit_test(test_completed_user_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
