// SPDX-License-Identifier: GPL-2.0-or-later
#include "unit.h"

#include "base/duration.h"
#include "base/util.h"

#include <errno.h>

static const struct {
	const char *text;
	uint64_t ms;
} good[] = {
	{"0", 0},
	{"1", 1000},
	{"90", 90000},
	{"007", 7000},
	{"90s", 90000},
	{"10min", 600000},
	{"1h", 3600000},
	{"2d", 172800000},
	{"500ms", 500},
	{"0ms", 0},
	{"1h 30min", 5400000},
	{"1h30min", 5400000},
	{"1h \t 30min", 5400000},
	{"1d 1h 1min 1s 1ms", 90061001},
	{"1d1h1min1s1ms", 90061001},
	{"1d 1ms", 86400001},
	{"1s500ms", 1500},
	{"90min 90s", 5490000},
	{"18446744073709551", 18446744073709551000u},
	{"18446744073709551615ms", UINT64_MAX},
	{"18446744073709551s 615ms", UINT64_MAX},
};

static void test_good(void **state)
{
	uint64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		ms = 1;
		print_message("\"%s\"\n", good[i].text);
		assert_int_equal(duration_parse(good[i].text, &ms), 0);
		assert_true(ms == good[i].ms);
	}
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"s",
		"-1",
		"+1",
		"1.5",
		"1.5s",
		"1,5s",
		"1 s",
		"1 h",
		"1m",
		"1M",
		"1S",
		"1H",
		"1hour",
		"1sec",
		"1min1",
		"1min 1",
		"1 1min",
		"30min 1h",
		"1s 1s",
		"1h 1h",
		"1ms 1s",
		"1h,1s",
		"1h;",
		"1h ",
		" 1h",
		"1h\n",
		"0x10",
		"1e3",
		"1h -1s",
		"1h +1min",
		"1h 30",
		"ms",
		"1minh",
		"1mins",
		"1dd",
		"1h  ",
		"infinity",
		"\xd9\xa1s",
		"1\xc2\xb5s",
		"1h\v1s",
		"99999999999999999999x",
	};
	uint64_t ms = 42;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		print_message("\"%s\"\n", bad[i]);
		assert_int_equal(duration_parse(bad[i], &ms), -EINVAL);
		assert_int_equal(ms, 42);
	}
}

static void test_too_large(void **state)
{
	static const char *const large[] = {
		"18446744073709552",
		"18446744073709551616",
		"18446744073709551616ms",
		"18446744073709551s 616ms",
		"99999999999999999999999999999999999s",
		"213503982335d",
		"213503982334d 25h",
		"1d 99999999999999999999s",
	};
	uint64_t ms = 42;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(large); i++) {
		print_message("\"%s\"\n", large[i]);
		assert_int_equal(duration_parse(large[i], &ms), -ERANGE);
		assert_int_equal(ms, 42);
	}
}

static void test_format(void **state)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} cases[] = {
		{0, "0s"},
		{1, "1ms"},
		{500, "500ms"},
		{1000, "1s"},
		{1500, "1s 500ms"},
		{59000, "59s"},
		{60000, "1min"},
		{75000, "75s"},
		{350000, "350s"},
		{600000, "10min"},
		{3600000, "1h"},
		{3601000, "1h 1s"},
		{5400000, "1h 30min"},
		{32767000, "9h 6min 7s"},
		{86400000, "1d"},
		{90061001, "1d 1h 1min 1s 1ms"},
	};
	char text[DURATION_TEXT_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		duration_format(cases[i].ms, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

/* duration_parse() reads what duration_format() writes, and gets the same value. */
static void test_round_trip(void **state)
{
	uint64_t ms, back, i;
	char text[DURATION_TEXT_MAX];

	(void)state;
	for (i = 0; i < 200000; i++) {
		/* The values are dense at first, then ever further apart. */
		ms = i < 100000 ? i * 37 : i * i * (i % 977) * 1009;
		duration_format(ms, text, sizeof(text));
		assert_int_equal(duration_parse(text, &back), 0);
		assert_true(back == ms);
	}
	duration_format(UINT64_MAX, text, sizeof(text));
	assert_int_equal(duration_parse(text, &back), 0);
	assert_true(back == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	   cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_large),  cmocka_unit_test(test_format),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
