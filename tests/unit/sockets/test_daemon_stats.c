// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests what the daemon counts, and how metrics show it in Prometheus text format. */
#include "unit.h"

#include "base/util.h"
#include "show/metrics.h"

#include <inttypes.h>

static const struct reconcile_result nothing;

/* Returns the text for these metrics. The caller frees it. */
static char *text_of_all(const struct metrics *metrics)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	metrics_write(metrics, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* Returns the text for these numbers, without any rule. The caller frees it. */
static char *text_of(const struct daemon_stats *stats)
{
	struct metrics metrics = {.stats = *stats};

	return text_of_all(&metrics);
}

/* Asserts that the text has this sample, on a line of its own. */
static void assert_sample(const char *text, const char *name, const char *value)
{
	char line[128];

	snprintf(line, sizeof(line), "\nholdfast_%s %s\n", name, value);
	if (!strstr(text, line))
		fail_msg("there is no %s", line + 1);
}

/* A pass that takes exactly as long as a bound counts below it (`le`). */
static void test_bounds(void **state)
{
	struct daemon_stats_map map = DAEMON_STATS_MAP_INIT;
	_cleanup_free_ char *text = NULL;
	uint64_t sum = 0;
	size_t i;

	(void)state;
	for (i = 0; i < STATS_N_BOUNDS; i++) {
		daemon_stats_count_pass(&map, daemon_stats_bounds_us[i], true, true, &nothing);
		daemon_stats_count_pass(&map, daemon_stats_bounds_us[i] + 1, true, true, &nothing);
		sum += 2 * (uint64_t)daemon_stats_bounds_us[i] + 1;
	}
	assert_int_equal(map.now.passes_us, sum);
	text = text_of(&map.now);
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"0.001\"}", "1");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"0.0025\"}", "3");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"0.005\"}", "5");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"1\"}", "19");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"10\"}", "25");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"+Inf\"}", "26");
	assert_sample(text, "reconcile_duration_seconds_count", "26");
	assert_sample(text, "reconcile_duration_seconds_sum", "38.887013");
}

static void test_sum(void **state)
{
	struct daemon_stats_map map = DAEMON_STATS_MAP_INIT;
	_cleanup_free_ char *text = NULL;

	(void)state;
	daemon_stats_count_pass(&map, 2000005, true, true, &nothing);
	text = text_of(&map.now);
	assert_sample(text, "reconcile_duration_seconds_sum", "2.000005");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"1\"}", "0");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"2.5\"}", "1");
}

/* Only a full pass that left nothing out counts as a look at all sockets. */
static void test_passes(void **state)
{
	static const struct reconcile_result result = {
		.namespaces = 7, .held = 1, .changed = 20, .healed = 300, .restored = 4000};
	struct daemon_stats_map map = DAEMON_STATS_MAP_INIT;
	_cleanup_free_ char *text = NULL;

	(void)state;
	daemon_stats_count_pass(&map, 1, false, true, &result);
	daemon_stats_count_pass(&map, 1, true, false, &result);
	assert_int_equal(map.now.reconciled_s, 0);
	assert_int_equal(map.now.namespaces, 0);
	daemon_stats_count_pass(&map, 1, true, true, &result);
	assert_true(map.now.reconciled_s > 0);
	text = text_of(&map.now);
	assert_sample(text, "network_namespaces", "7");
	assert_sample(text, "reconcile_incomplete_total", "1");
	assert_sample(text, "reconcile_sockets_total{action=\"held\"}", "3");
	assert_sample(text, "reconcile_sockets_total{action=\"changed\"}", "60");
	assert_sample(text, "reconcile_sockets_total{action=\"held_again\"}", "900");
	assert_sample(text, "reconcile_sockets_total{action=\"given_back\"}", "12000");
}

static void test_reloads(void **state)
{
	struct daemon_stats_map map = DAEMON_STATS_MAP_INIT;
	char *text;

	(void)state;
	daemon_stats_count_start(&map);
	daemon_stats_count_reload(&map, STATS_RELOAD_APPLIED);
	daemon_stats_count_reload(&map, STATS_RELOAD_REJECTED);
	daemon_stats_count_reload(&map, STATS_RELOAD_REJECTED);
	daemon_stats_count_reload(&map, STATS_RELOAD_FAILED);
	map.now.applied_s = 1;
	text = text_of(&map.now);
	assert_sample(text, "reloads_total{outcome=\"applied\"}", "1");
	assert_sample(text, "reloads_total{outcome=\"rejected\"}", "2");
	assert_sample(text, "reloads_total{outcome=\"failed\"}", "1");
	assert_sample(text, "last_reload_successful", "0");
	assert_sample(text, "last_reload_success_timestamp_seconds", "1");
	assert_sample(text, "daemon_starts_total", "1");
	free(text);

	/* A start counts as a successful reload. */
	daemon_stats_count_start(&map);
	text = text_of(&map.now);
	assert_sample(text, "last_reload_successful", "1");
	assert_sample(text, "daemon_starts_total", "2");
	assert_true(map.now.applied_s > 1);
	free(text);
}

/* A daemon is starting until its first full pass, and hangs after three periods and half a minute
 * without one. */
static void test_judge(void **state)
{
	struct daemon_stats_map map = DAEMON_STATS_MAP_INIT;
	const uint64_t passed_ms = 5000000;
	pid_t us = getpid();

	(void)state;
	daemon_stats_set_period(&map, 60);
	stats_note_passed(&map, passed_ms); /* an earlier daemon's */
	assert_int_equal(stats_judge(&map.now, us, passed_ms), STATS_STARTING);
	daemon_stats_count_start(&map);
	assert_int_equal(stats_judge(&map.now, us, passed_ms), STATS_STARTING);
	daemon_stats_count_pass(&map, 1, false, true, &nothing);
	assert_int_equal(stats_judge(&map.now, us, passed_ms), STATS_STARTING);
	stats_note_passed(&map, passed_ms);
	assert_int_equal(stats_judge(&map.now, us, 0), STATS_LOOKING);
	assert_int_equal(stats_judge(&map.now, us, passed_ms + 210000), STATS_LOOKING);
	assert_int_equal(stats_judge(&map.now, us, passed_ms + 210001), STATS_HANGING);
	assert_int_equal(stats_judge(&map.now, us + 1, passed_ms), STATS_STARTING);
	assert_int_equal(stats_judge(&map.now, 0, passed_ms), STATS_GONE);
}

/* The metrics have each of a rule's numbers under its label. */
static void test_rules(void **state)
{
	static const struct {
		const char *name;
		int number;
	} ends[] = {
		{"application", HF_END_APPLICATION},   {"server", HF_END_SERVER},
		{"keepalive", HF_END_KEEPALIVE},       {"user_timeout", HF_END_USER_TIMEOUT},
		{"probe_reset", HF_END_PROBE_RESET},   {"reset", HF_END_RESET},
		{"retransmission", HF_END_RETRANSMIT}, {"aborted", HF_END_ABORTED},
	};
	struct rule rule = {.name = "db", .window_ms = 2005, .time_s = 1, .enforce = true};
	struct metrics_rule numbers = {.counters = {.held = {11, 12, 13}, .guarded = 14}};
	struct window learned = {.survived_ms = 200100,
				 .survived_count = 50,
				 .forgotten_ms = 350007,
				 .forgotten_count = 51};
	struct host_window host = {.window_ms = 300000};
	struct metrics metrics = {.rules = &numbers};
	char name[64], number[16];
	_cleanup_free_ char *text = NULL;
	size_t i;

	(void)state;
	metrics.snapshot.config.rules = &rule;
	metrics.snapshot.config.n_rules = 1;
	metrics.snapshot.windows = &learned;
	metrics.snapshot.hosts = &host;
	assert_int_equal(ARRAY_SIZE(ends), HF_N_ENDS);
	for (i = 0; i < HF_N_ENDS; i++)
		numbers.counters.ends[i] = 20 + i;
	for (i = 0; i < N_VERDICTS; i++)
		numbers.sockets[i] = 40 + i;
	text = text_of_all(&metrics);
	assert_sample(text, "holds_total{rule=\"db\",way=\"connect\"}", "11");
	assert_sample(text, "holds_total{rule=\"db\",way=\"accept\"}", "12");
	assert_sample(text, "holds_total{rule=\"db\",way=\"sweep\"}", "13");
	assert_sample(text, "guard_interventions_total{rule=\"db\"}", "14");
	assert_sample(text, "rule_path_survived_seconds{rule=\"db\"}", "200.100");
	assert_sample(text, "rule_path_survived_total{rule=\"db\"}", "50");
	assert_sample(text, "rule_path_forgotten_seconds{rule=\"db\"}", "350.007");
	assert_sample(text, "rule_path_forgotten_total{rule=\"db\"}", "51");
	assert_sample(text, "rule_host_window_seconds{rule=\"db\"}", "300.000");
	for (i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(name, sizeof(name), "ends_total{rule=\"db\",cause=\"%s\"}", ends[i].name);
		snprintf(number, sizeof(number), "%d", 20 + ends[i].number);
		assert_sample(text, name, number);
	}
	for (i = 0; i < N_VERDICTS; i++) {
		snprintf(name, sizeof(name), "sockets{rule=\"db\",verdict=\"%s\"}",
			 verdict_name((enum verdict)i));
		snprintf(number, sizeof(number), "%zu", 40 + i);
		assert_sample(text, name, number);
	}
	assert_sample(text, "rule_window_seconds{rule=\"db\"}", "2.005");
	assert_sample(text, "rule_time_seconds{rule=\"db\"}", "1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds), cmocka_unit_test(test_sum),
		cmocka_unit_test(test_passes), cmocka_unit_test(test_reloads),
		cmocka_unit_test(test_judge),  cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
