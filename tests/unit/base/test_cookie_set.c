// SPDX-License-Identifier: GPL-2.0-or-later
/* Compares the set of cookies with a plain list. */
#include "unit.h"

#include "base/cookie_set.h"

#define N 50000u

/* Returns neighbours, strays, and cookies at both ends of the range. */
static uint64_t cookie_of(size_t i)
{
	switch (i % 3) {
	case 0:
		return 1000000 + i;
	case 1:
		return (uint64_t)i * 0x9e3779b97f4a7c15u >> 1;
	}
	return (i % 2 ? 0 : INT64_MAX) ^ (uint64_t)i << 17;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void test_have(void **state)
{
	uint64_t *list = calloc(N, sizeof(*list)), probe;
	struct cookie_set cookies = {0};
	size_t i, offset;

	(void)state;
	assert_non_null(list);
	for (i = 0; i < N; i++) {
		list[i] = cookie_of(i);
		assert_int_equal(cookie_set_add(&cookies, list[i]), 0);
	}
	qsort(list, N, sizeof(*list), compare);
	for (i = 0; i < N; i += 7) {
		cookie_set_remove(&cookies, list[i]);
		assert_false(cookie_set_have(&cookies, list[i]));
		assert_int_equal(cookie_set_add(&cookies, list[i]), 0);
	}
	for (i = 0; i < N; i++) {
		for (offset = 0; offset < 3; offset++) {
			bool there;

			probe = list[i] - 1 + offset;
			there = bsearch(&probe, list, N, sizeof(*list), compare);
			assert_int_equal(cookie_set_have(&cookies, probe), there);
		}
	}
	cookie_set_free(&cookies);
	free(list);
}

static void test_empty(void **state)
{
	struct cookie_set cookies = {0};

	(void)state;
	assert_false(cookie_set_have(&cookies, 0));
	assert_false(cookie_set_have(&cookies, 64));
	cookie_set_remove(&cookies, 64);
	assert_int_equal(cookie_set_add(&cookies, 64), 0);
	assert_int_equal(cookie_set_add(&cookies, 64), 0);
	assert_false(cookie_set_have(&cookies, 0));
	assert_true(cookie_set_have(&cookies, 64));
	assert_false(cookie_set_have(&cookies, 65));
	cookie_set_remove(&cookies, 65);
	assert_true(cookie_set_have(&cookies, 64));
	cookie_set_remove(&cookies, 64);
	assert_false(cookie_set_have(&cookies, 64));
	cookie_set_free(&cookies);
	assert_false(cookie_set_have(&cookies, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_have),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests_name("cookies", tests, NULL, NULL);
}
