// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tests what a socket gets under each `override`. Compares the code of the BPF programs, compiled
 * natively, with a reference that is written from the words of the specification.
 */
#include "unit.h"

#include "base/util.h"
#include "bpf/decide.h"

static const struct hf_keepalive sysctls = {0, 7200, 75, 9, 0};

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static uint32_t one_of(uint64_t *state, const uint32_t *values, size_t n)
{
	return values[next_random(state) % n];
}

static struct hf_keepalive random_settings(uint64_t *state)
{
	static const uint32_t times[] = {0, 0, 1, 15, 599, 600, 601, 7200, 32767};
	static const uint32_t intervals[] = {0, 0, 1, 60, 75, 32767};
	static const uint32_t counts[] = {0, 0, 1, 5, 9, 127};
	static const uint32_t timeouts[] = {0, 0, 0, 1, 30000, 30001, 900000};
	struct hf_keepalive settings = {
		.on = (uint32_t)(next_random(state) % 2),
		.time_s = one_of(state, times, ARRAY_SIZE(times)),
		.interval_s = one_of(state, intervals, ARRAY_SIZE(intervals)),
		.probes = one_of(state, counts, ARRAY_SIZE(counts)),
		.user_timeout_ms = one_of(state, timeouts, ARRAY_SIZE(timeouts)),
	};

	return settings;
}

static struct hf_rule random_rule(uint64_t *state)
{
	static const uint32_t timeouts[] = {0, 0, 30000};
	struct hf_rule rule = {
		.time_s = 600,
		.interval_s = 60,
		.probes = 5,
		.override = (uint8_t)(next_random(state) % 3),
		.user_timeout_ms = one_of(state, timeouts, ARRAY_SIZE(timeouts)),
	};

	return rule;
}

/* The specification, word for word. `now` has the application's own settings. */
static struct hf_keepalive reference(const struct hf_keepalive *now, const struct hf_rule *rule,
				     bool *own)
{
	uint32_t fires_s = now->time_s ? now->time_s : sysctls.time_s;
	struct hf_keepalive want = *now;

	*own = false;
	switch ((enum hf_override)rule->override) {
	case HF_OVERRIDE_WHEN_LONGER:
		/* "whose own keepalive is on and fires sooner than the rule's `time` keeps all of
		 * its own settings; any other gets the rule's three values" */
		if (now->on && fires_s < rule->time_s) {
			*own = true;
			return want;
		}
		break;
	case HF_OVERRIDE_ALWAYS:
		break;
	case HF_OVERRIDE_NEVER:
		/* "only what the application left unset is filled in" */
		want.on = 1;
		if (!want.time_s)
			want.time_s = rule->time_s;
		if (!want.interval_s)
			want.interval_s = rule->interval_s;
		if (!want.probes)
			want.probes = rule->probes;
		if (!want.user_timeout_ms)
			want.user_timeout_ms = rule->user_timeout_ms;
		return want;
	}
	want.on = 1;
	want.time_s = rule->time_s;
	want.interval_s = rule->interval_s;
	want.probes = rule->probes;
	/* `off` changes nothing. Under when-longer, a shorter timeout of the application stays. */
	if (rule->user_timeout_ms &&
	    (rule->override == HF_OVERRIDE_ALWAYS || !now->user_timeout_ms ||
	     now->user_timeout_ms > rule->user_timeout_ms))
		want.user_timeout_ms = rule->user_timeout_ms;
	return want;
}

static void assert_settings(const struct hf_keepalive *got, const struct hf_keepalive *wanted)
{
	assert_int_equal(got->on, wanted->on);
	assert_int_equal(got->time_s, wanted->time_s);
	assert_int_equal(got->interval_s, wanted->interval_s);
	assert_int_equal(got->probes, wanted->probes);
	assert_int_equal(got->user_timeout_ms, wanted->user_timeout_ms);
}

static void test_first_decision(void **state)
{
	uint64_t seed = 20261122;
	int i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		struct hf_keepalive now = random_settings(&seed), want, wanted;
		struct hf_rule rule = random_rule(&seed);
		struct hf_record record = {0};
		bool own;

		wanted = reference(&now, &rule, &own);
		hf_learn_first(&record, &now);
		hf_decide(&record, &rule, &sysctls, &want);
		assert_settings(&want, &wanted);
		assert_int_equal(record.state, own ? HF_STATE_OWN : HF_STATE_HELD);
		assert_settings(&record.app, &now);
	}
}

/* A second decision on a socket that nobody has touched changes nothing, whatever it had before. */
static void test_second_look(void **state)
{
	uint64_t seed = 7;
	int i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		struct hf_keepalive now = random_settings(&seed), want, again;
		struct hf_rule rule = random_rule(&seed);
		struct hf_record record = {0}, before;

		hf_learn_first(&record, &now);
		hf_decide(&record, &rule, &sysctls, &want);
		hf_unset(&want, &now, &sysctls);
		record.set = want;
		before = record;
		hf_learn_again(&record, &want);
		hf_decide(&record, &rule, &sysctls, &again);
		hf_unset(&again, &want, &sysctls);
		assert_settings(&again, &want);
		assert_memory_equal(&record, &before, sizeof(record));
	}
}

/* Values that the application changes on a held socket count as its own from then on. */
static void test_changes_are_learned(void **state)
{
	struct hf_keepalive now = {0}, want;
	struct hf_rule rule = {.time_s = 600, .interval_s = 60, .probes = 5};
	struct hf_record record = {0};

	(void)state;
	hf_learn_first(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	record.set = want;
	now = want;
	now.time_s = 15;
	hf_learn_again(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(record.state, HF_STATE_OWN);
	assert_int_equal(want.on, 1);
	assert_int_equal(want.time_s, 15);

	/* Values that were unset before can't be unset again: they become the sysctls'. */
	hf_unset(&want, &now, &sysctls);
	assert_int_equal(want.interval_s, 75);
	assert_int_equal(want.probes, 9);

	/* A time that is too long brings back the rule's values. */
	record.set = want;
	now = want;
	now.time_s = 5000;
	hf_learn_again(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(record.state, HF_STATE_HELD);
	assert_int_equal(want.time_s, 600);
	assert_int_equal(want.interval_s, 60);
	assert_int_equal(want.probes, 5);
}

/* Under `never`, keepalive that the application switches off stays off. */
static void test_never_lets_it_stand(void **state)
{
	struct hf_keepalive now = {0}, want;
	struct hf_rule rule = {
		.time_s = 600, .interval_s = 60, .probes = 5, .override = HF_OVERRIDE_NEVER};
	struct hf_record record = {0};

	(void)state;
	hf_learn_first(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(want.on, 1);
	record.set = want;
	now = want;
	now.on = 0;
	hf_learn_again(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(want.on, 0);
	assert_int_equal(want.time_s, 600);
}

/* While a socket is probed, its time of HF_PROBE_TIME_S isn't taken for the application's. */
static void test_probe_is_ours(void **state)
{
	struct hf_keepalive now = {0}, want;
	struct hf_rule rule = {.time_s = 600, .interval_s = 60, .probes = 5};
	struct hf_record record = {0};

	(void)state;
	hf_learn_first(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	record.set = want;
	now = want;
	now.time_s = HF_PROBE_TIME_S;
	record.probe_end = 1;
	hf_learn_again(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(want.time_s, 600);
	assert_int_equal(record.app.time_s, 0);

	record.probe_end = 0;
	hf_learn_again(&record, &now);
	assert_int_equal(record.app.time_s, HF_PROBE_TIME_S);
}

/* Each option that the application changed behind the guard's back is learned, and no other. */
static void test_each_option_is_learned(void **state)
{
	static const struct hf_keepalive set = {1, 600, 60, 5, 30000};
	static const struct {
		struct hf_keepalive now, app;
		uint8_t chosen;
	} cases[] = {
		{{0, 600, 60, 5, 30000}, {0, 1, 2, 3, 4}, HF_CHOSE_ON},
		{{1, 15, 60, 5, 30000}, {1, 15, 2, 3, 4}, HF_CHOSE_TIME}, /* counts as on, too */
		{{0, 15, 60, 5, 30000}, {0, 15, 2, 3, 4}, HF_CHOSE_ON | HF_CHOSE_TIME},
		{{1, 600, 7, 5, 30000}, {0, 1, 7, 3, 4}, HF_CHOSE_INTERVAL},
		{{1, 600, 60, 9, 30000}, {0, 1, 2, 9, 4}, HF_CHOSE_PROBES},
		{{1, 600, 60, 5, 0}, {0, 1, 2, 3, 0}, HF_CHOSE_USER_TIMEOUT},
		{{1, 600, 60, 5, 30000}, {0, 1, 2, 3, 4}, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hf_record record = {.app = {0, 1, 2, 3, 4}, .set = set};

		hf_learn_again(&record, &cases[i].now);
		assert_settings(&record.app, &cases[i].app);
		assert_int_equal(record.chosen, cases[i].chosen);
	}
}

/* The application sets a time while keepalive is on only because of us: that counts as keepalive
 * on, but `app` doesn't say that the application asked for it. */
static void test_only_a_time(void **state)
{
	struct hf_rule rule = {.time_s = 600, .interval_s = 60, .probes = 5};
	struct hf_record record = {.app = {.time_s = 15}, .chosen = HF_CHOSE_TIME};
	struct hf_keepalive want;

	(void)state;
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(record.state, HF_STATE_HELD);
	assert_int_equal(want.time_s, 600);
	record.chosen |= HF_CHOSE_TIME_ONLY;
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(record.state, HF_STATE_OWN);
	assert_int_equal(want.time_s, 15);
	assert_int_equal(want.on, 1);
	assert_int_equal(record.app.on, 0);
}

/* A time that is learned counts as keepalive on, unless the record says otherwise. */
static void test_what_a_learned_time_says(void **state)
{
	static const struct {
		uint8_t chosen;
		uint32_t before, after;
	} cases[] = {
		{0, 0, 1}, /* an application that set SO_KEEPALIVE after connect(), too */
		{HF_CHOSE_TIME, 0, 1},
		{HF_CHOSE_TIME | HF_CHOSE_TIME_ONLY, 0, 0}, /* the guard has seen that it didn't */
		{HF_CHOSE_ON, 0, 0},			    /* it has switched keepalive off */
		{HF_CHOSE_ON, 1, 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hf_record record = {.app = {.on = cases[i].before},
					   .set = {1, 600, 60, 5, 0},
					   .chosen = cases[i].chosen};
		struct hf_keepalive now = {1, 5000, 60, 5, 0};

		hf_learn_again(&record, &now);
		assert_int_equal(record.app.on, cases[i].after);
		assert_int_equal(record.app.time_s, 5000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_decision),
		cmocka_unit_test(test_second_look),
		cmocka_unit_test(test_changes_are_learned),
		cmocka_unit_test(test_never_lets_it_stand),
		cmocka_unit_test(test_probe_is_ours),
		cmocka_unit_test(test_each_option_is_learned),
		cmocka_unit_test(test_only_a_time),
		cmocka_unit_test(test_what_a_learned_time_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
