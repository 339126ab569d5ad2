// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests which verdict has precedence over which, and the conditions of each. */
#include "unit.h"

#include "rules/verdict.h"

#include <errno.h>
#include <netinet/tcp.h>

static const struct rule rule = {
	.window_ms = 350000, .time_s = 120, .interval_s = 30, .probes = 4, .enforce = true};
static const struct hf_keepalive as_the_rule = {
	.on = 1, .time_s = 120, .interval_s = 30, .probes = 4};

static enum verdict of(const struct hf_keepalive *now)
{
	return verdict_of(&rule, TCP_ESTABLISHED, now, 0);
}

/* The first verdict that applies counts, in this order: exempt, closed, exposed, probing, held. */
static void test_order(void **state)
{
	static const struct hf_keepalive off = {.time_s = 120, .interval_s = 30, .probes = 4};
	struct rule exempt = rule;
	unsigned unanswered;

	(void)state;
	exempt.enforce = false;
	for (unanswered = 0; unanswered < 2; unanswered++) {
		assert_int_equal(verdict_of(&exempt, TCP_CLOSE_WAIT, &off, unanswered),
				 VERDICT_EXEMPT);
		assert_int_equal(verdict_of(&exempt, TCP_ESTABLISHED, &as_the_rule, unanswered),
				 VERDICT_EXEMPT);
		assert_int_equal(verdict_of(&rule, TCP_CLOSE_WAIT, &off, unanswered),
				 VERDICT_CLOSED);
		assert_int_equal(verdict_of(&rule, TCP_CLOSE_WAIT, &as_the_rule, unanswered),
				 VERDICT_CLOSED);
		assert_int_equal(verdict_of(&rule, TCP_ESTABLISHED, &off, unanswered),
				 VERDICT_EXPOSED);
		assert_int_equal(verdict_of(&rule, TCP_ESTABLISHED, &as_the_rule, unanswered),
				 unanswered ? VERDICT_PROBING : VERDICT_HELD);
	}
}

/* Settings that differ from the rule in any value are the application's own. */
static void test_own(void **state)
{
	struct hf_keepalive now;

	(void)state;
	assert_int_equal(of(&as_the_rule), VERDICT_HELD);
	now = as_the_rule;
	now.time_s--;
	assert_int_equal(of(&now), VERDICT_OWN);
	now = as_the_rule;
	now.interval_s++;
	assert_int_equal(of(&now), VERDICT_OWN);
	now = as_the_rule;
	now.probes++;
	assert_int_equal(of(&now), VERDICT_OWN);
}

/* A time equal to the window is too late; a window need not be whole seconds. */
static void test_window(void **state)
{
	struct hf_keepalive now = as_the_rule;
	struct rule odd = rule;

	(void)state;
	now.time_s = 349;
	assert_int_equal(of(&now), VERDICT_OWN);
	now.time_s = 350;
	assert_int_equal(of(&now), VERDICT_EXPOSED);
	odd.window_ms = 350001;
	assert_int_equal(verdict_of(&odd, TCP_ESTABLISHED, &now, 0), VERDICT_OWN);
	assert_int_equal(verdict_of(&odd, TCP_ESTABLISHED, &now, 1), VERDICT_PROBING);
}

/* With a window that nobody knows, a time above the rule's is too late. */
static void test_auto(void **state)
{
	struct hf_keepalive now = as_the_rule;
	struct rule unknown = rule;

	(void)state;
	unknown.window_ms = 0;
	assert_int_equal(verdict_of(&unknown, TCP_ESTABLISHED, &now, 0), VERDICT_HELD);
	now.time_s = rule.time_s - 1u;
	assert_int_equal(verdict_of(&unknown, TCP_ESTABLISHED, &now, 0), VERDICT_OWN);
	now.time_s = rule.time_s + 1u;
	assert_int_equal(verdict_of(&unknown, TCP_ESTABLISHED, &now, 0), VERDICT_EXPOSED);
}

/* verdict_parse() reads what verdict_name() returns, and nothing else. */
static void test_names(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < N_VERDICTS; i++)
		assert_int_equal(verdict_parse(verdict_name((enum verdict)i)), i);
	assert_string_equal(verdict_name(VERDICT_EXPOSED), "exposed");
	assert_int_equal(verdict_parse("Held"), -EINVAL);
	assert_int_equal(verdict_parse(""), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),  cmocka_unit_test(test_own),
		cmocka_unit_test(test_window), cmocka_unit_test(test_auto),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
