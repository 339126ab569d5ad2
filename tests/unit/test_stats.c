// SPDX-License-Identifier: GPL-2.0-or-later
/* What the daemon counts, and how it reads as Prometheus text. */
#include "unit.h"

#include "../../daemon/metrics.h"
#include "../../daemon/util.h"

#include <inttypes.h>

static const struct reconcile_result nothing;

/* The text for these numbers, without any rule. The caller frees it. */
static char *text_of(const struct stats *stats)
{
	struct metrics metrics = {.stats = *stats};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	metrics_write(&metrics, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* The sample must be there, on a line of its own. */
static void assert_sample(const char *text, const char *name, const char *value)
{
	char line[128];

	snprintf(line, sizeof(line), "\nholdfast_%s %s\n", name, value);
	if (!strstr(text, line))
		fail_msg("there is no %s", line + 1);
}

/* A pass that takes as long as a bound counts below it: `le`. */
static void test_bounds(void **state)
{
	struct stats_map map = STATS_MAP_INIT;
	_cleanup_free_ char *text = NULL;
	uint64_t sum = 0;
	size_t i;

	(void)state;
	for (i = 0; i < STATS_N_BOUNDS; i++) {
		stats_count_pass(&map, stats_bounds_us[i], true, true, &nothing);
		stats_count_pass(&map, stats_bounds_us[i] + 1, true, true, &nothing);
		sum += 2 * (uint64_t)stats_bounds_us[i] + 1;
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
	struct stats_map map = STATS_MAP_INIT;
	_cleanup_free_ char *text = NULL;

	(void)state;
	stats_count_pass(&map, 2000005, true, true, &nothing);
	text = text_of(&map.now);
	assert_sample(text, "reconcile_duration_seconds_sum", "2.000005");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"1\"}", "0");
	assert_sample(text, "reconcile_duration_seconds_bucket{le=\"2.5\"}", "1");
}

/* Only a pass that left nothing out says that all sockets have been looked at. */
static void test_passes(void **state)
{
	static const struct reconcile_result result = {
		.namespaces = 7, .held = 1, .changed = 20, .healed = 300, .restored = 4000};
	struct stats_map map = STATS_MAP_INIT;
	_cleanup_free_ char *text = NULL;

	(void)state;
	stats_count_pass(&map, 1, false, true, &result);
	stats_count_pass(&map, 1, true, false, &result);
	assert_int_equal(map.now.reconciled_s, 0);
	assert_int_equal(map.now.namespaces, 0);
	stats_count_pass(&map, 1, true, true, &result);
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
	struct stats_map map = STATS_MAP_INIT;
	char *text;

	(void)state;
	stats_count_start(&map);
	stats_count_reload(&map, STATS_RELOAD_APPLIED);
	stats_count_reload(&map, STATS_RELOAD_REJECTED);
	stats_count_reload(&map, STATS_RELOAD_REJECTED);
	stats_count_reload(&map, STATS_RELOAD_FAILED);
	map.now.applied_s = 1;
	text = text_of(&map.now);
	assert_sample(text, "reloads_total{outcome=\"applied\"}", "1");
	assert_sample(text, "reloads_total{outcome=\"rejected\"}", "2");
	assert_sample(text, "reloads_total{outcome=\"failed\"}", "1");
	assert_sample(text, "last_reload_successful", "0");
	assert_sample(text, "last_reload_success_timestamp_seconds", "1");
	assert_sample(text, "daemon_starts_total", "1");
	free(text);

	/* The configuration that a start reads is a good one. */
	stats_count_start(&map);
	text = text_of(&map.now);
	assert_sample(text, "last_reload_successful", "1");
	assert_sample(text, "daemon_starts_total", "2");
	assert_true(map.now.applied_s > 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_reloads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
