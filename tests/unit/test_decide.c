// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a socket gets, by `override`: the code of the BPF programs, compiled
 * natively, against a reference that is written from the contract's words.
 */
#include "unit.h"

#include "../../bpf/decide.h"
#include "../../daemon/util.h"

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

/* The contract, word for word; `now` is what the application has set by itself. */
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
	/* `off` isn't touched; a shorter one of the application's stands under when-longer */
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

/* A second look at a socket that nobody touched changes nothing, whatever it had. */
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

/* What the application changes on a held socket is the application's from then on. */
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

	/* Unset before, and not to be unset: the namespace's values. */
	hf_unset(&want, &now, &sysctls);
	assert_int_equal(want.interval_s, 75);
	assert_int_equal(want.probes, 9);

	/* And back: too long now, so the rule's values again. */
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

/* Under `never` what it switches off stays off. */
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

/* The second of a probe is ours, and never taken for the application's. */
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
	record.probing = 1;
	hf_learn_again(&record, &now);
	hf_decide(&record, &rule, &sysctls, &want);
	assert_int_equal(want.time_s, 600);
	assert_int_equal(record.app.time_s, 0);

	record.probing = 0;
	hf_learn_again(&record, &now);
	assert_int_equal(record.app.time_s, HF_PROBE_TIME_S);
}

/* Past the guard: each option by itself is learned, and nothing else with it. */
static void test_each_option_is_learned(void **state)
{
	static const struct hf_keepalive set = {1, 600, 60, 5, 30000};
	static const struct {
		struct hf_keepalive now, app;
		uint8_t chosen;
	} cases[] = {
		{{0, 600, 60, 5, 30000}, {0, 1, 2, 3, 4}, HF_CHOSE_ON},
		{{1, 15, 60, 5, 30000}, {1, 15, 2, 3, 4}, HF_CHOSE_TIME}, /* wants it on, too */
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

/* A time while keepalive is on by us alone: it counts as on, and isn't what was asked for. */
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
