// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests which addresses of the answers count, and for how long. */
#include "rounds.h"

#include <arpa/inet.h>

#define UNCHANGED 0u

static void test_set(void **state)
{
	struct answers answers = {0};

	(void)state;
	put(&answers, RESOLVER_A, "10.0.0.9 10.0.0.1 10.0.0.9 10.0.0.5 10.0.0.1", 1);
	expect(&answers.of[RESOLVER_A].set, "10.0.0.1 10.0.0.5 10.0.0.9");
	put(&answers, RESOLVER_AAAA, "fd77::2 ::ffff:10.0.0.1 fd77::1", 1);
	expect(&answers.of[RESOLVER_AAAA].set, "10.0.0.1 fd77::1 fd77::2");
	answers_free(&answers);
	expect(&answers.of[RESOLVER_A].set, "");
}

static void test_changes(void **state)
{
	struct known known = {0};
	uint32_t again_s;

	(void)state;
	assert_int_equal(round_of(&known, "10.0.0.1", "fd77::1", &again_s), KNOWN_CHANGED);
	assert_int_equal(again_s, 20);
	expect_known(&known, "10.0.0.1 fd77::1");
	assert_int_equal(round_of(&known, "10.0.0.1", "fd77::1", &again_s), UNCHANGED);
	assert_int_equal(round_of(&known, "10.0.0.2 10.0.0.1", "fd77::1", &again_s), KNOWN_CHANGED);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1");
	/* The order of the addresses doesn't matter. */
	assert_int_equal(round_of(&known, "10.0.0.1 10.0.0.2", "fd77::1", &again_s), UNCHANGED);
	/* A family may have no addresses any more while the other has some. */
	assert_int_equal(round_of(&known, "10.0.0.1 10.0.0.2", "", &again_s), UNCHANGED);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1");
	assert_int_equal(again_s, 20);
	/* An IPv4-mapped address is the same as the IPv4 address. */
	assert_int_equal(round_of(&known, "10.0.0.1 10.0.0.2", "::ffff:10.0.0.2", &again_s),
			 UNCHANGED);
	known_free(&known);
}

static void test_failures(void **state)
{
	static const uint32_t backoff_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
	struct known known = {0};
	uint32_t again_s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(backoff_s) / sizeof(*backoff_s); i++) {
		assert_int_equal(round_of(&known, NULL, NULL, &again_s), i ? 0 : KNOWN_FAILS);
		assert_int_equal(again_s, backoff_s[i]);
		assert_int_equal(known.n, 0);
	}
	assert_int_equal(round_of(&known, "10.0.0.1", "fd77::1", &again_s),
			 KNOWN_CHANGED | KNOWN_RECOVERED);
	/* Neither a server that is down nor a name that doesn't exist removes addresses. */
	assert_int_equal(round_of(&known, NULL, NULL, &again_s), KNOWN_FAILS);
	assert_int_equal(again_s, 1);
	assert_int_equal(round_of(&known, "", "", &again_s), UNCHANGED);
	assert_int_equal(again_s, 2);
	expect_known(&known, "10.0.0.1 fd77::1");
	assert_int_equal(round_of(&known, "10.0.0.1", "fd77::1", &again_s), KNOWN_RECOVERED);
	assert_int_equal(round_of(&known, "", "", &again_s), KNOWN_FAILS);
	assert_int_equal(again_s, 1);
	expect_known(&known, "10.0.0.1 fd77::1");
	known_free(&known);
}

/* If one family fails, it keeps its addresses, and the other is updated. */
static void test_half_failures(void **state)
{
	struct known known = {0};
	uint32_t again_s;

	(void)state;
	round_of(&known, "10.0.0.1", "fd77::1", &again_s);
	assert_int_equal(round_of(&known, "10.0.0.2", NULL, &again_s), KNOWN_CHANGED | KNOWN_FAILS);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1");
	assert_int_equal(again_s, 1);
	assert_int_equal(round_of(&known, NULL, "fd77::2", &again_s), KNOWN_CHANGED);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1 fd77::2");
	assert_int_equal(again_s, 2);
	/* "No addresses" counts for nothing while the answer of the other family is missing. */
	assert_int_equal(round_of(&known, NULL, "", &again_s), UNCHANGED);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1 fd77::2");
	while (again_s < 20)
		assert_int_equal(round_of(&known, "10.0.0.2", NULL, &again_s), UNCHANGED);
	assert_int_equal(again_s, 20); /* the TTL runs out before the backoff */
	assert_int_equal(round_of(&known, "10.0.0.2", "", &again_s), KNOWN_RECOVERED);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1 fd77::2");
	known_free(&known);
}

static void add(struct address_set *set, const char *text)
{
	uint8_t addr[16];

	assert_int_equal(inet_pton(AF_INET, text, addr), 1);
	assert_int_equal(address_set_add(set, 4, addr), 0);
}

/* A name that is answered with one of its addresses at a time has all of them. */
static void test_rotation(void **state)
{
	static const char *const turns[] = {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"};
	const struct address_set nobody = {0};
	struct known known = {0};
	uint32_t again_s;
	size_t i;

	(void)state;
	for (i = 0; i < 400; i++, now_s += 100)
		assert_int_equal(round_of(&known, turns[i % 4], "", &again_s),
				 i < 4 ? KNOWN_CHANGED : UNCHANGED);
	expect_known(&known, "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4");
	assert_int_equal(known_expire(&known, &nobody, now_s * 1000000), 0);
	known_free(&known);
}

/* An address that no answer has had for an hour is removed, unless a held connection goes there. */
static void test_an_hour(void **state)
{
	const uint64_t hour_us = 3600ull * 1000000;
	struct address_set used = {0};
	struct known known = {0};
	uint32_t again_s;
	uint64_t last_us;

	(void)state;
	round_of(&known, "10.0.0.1 10.0.0.2 10.0.0.3", "", &again_s);
	assert_true(known_due_us(&known) == UINT64_MAX); /* all of them are in the last answer */
	now_s += 5000;
	round_of(&known, NULL, NULL, &again_s); /* failures remove nothing, even after an hour */
	round_of(&known, "", "", &again_s);
	assert_true(known_due_us(&known) == UINT64_MAX);
	now_s += 5000;
	round_of(&known, "10.0.0.3", "", &again_s);
	last_us = now_s * 1000000;
	assert_true(known_due_us(&known) == last_us + hour_us);
	add(&used, "10.0.0.2");
	assert_int_equal(known_expire(&known, &used, last_us + hour_us - 1), 0);
	/* The address in use counts as seen when it was found in use. */
	assert_int_equal(known_expire(&known, &used, last_us + hour_us), 1);
	expect_known(&known, "10.0.0.2 10.0.0.3");
	assert_true(known_due_us(&known) == last_us + 2 * hour_us);
	address_set_free(&used);
	assert_int_equal(known_expire(&known, &used, last_us + 2 * hour_us - 1), 0);
	assert_int_equal(known_expire(&known, &used, last_us + 2 * hour_us), 1);
	expect_known(&known, "10.0.0.3");
	known_free(&known);
}

/* The next address to go is the one that was last seen before all others. */
static void test_next_to_go(void **state)
{
	struct known known = {0};
	uint32_t again_s;
	uint64_t first_us;

	(void)state;
	round_of(&known, "10.0.0.1 10.0.0.2 10.0.0.3", "", &again_s);
	round_of(&known, "10.0.0.2 10.0.0.3", "", &again_s);
	first_us = now_s * 1000000 + KNOWN_KEEP_US;
	now_s += 50;
	round_of(&known, "10.0.0.3", "", &again_s);
	assert_true(known_due_us(&known) == first_us);
	known_free(&known);
	round_of(&known, "10.0.0.1 10.0.0.2 10.0.0.3", "", &again_s);
	round_of(&known, "10.0.0.1 10.0.0.3", "", &again_s);
	first_us = now_s * 1000000 + KNOWN_KEEP_US;
	now_s += 50;
	round_of(&known, "10.0.0.3", "", &again_s);
	assert_true(known_due_us(&known) == first_us);
	known_free(&known);
}

/* Makes some rounds, each with another address and four of them in each second. Returns how often
 * KNOWN_FULL was reported. */
static unsigned others_each_time(struct known *known, size_t rounds)
{
	unsigned told = 0;
	uint32_t again_s;
	char text[32];
	size_t i;

	for (i = 0; i < rounds; i++, now_s += i % 4 == 0) {
		snprintf(text, sizeof(text), "10.1.%zu.%zu", i / 256, i % 256);
		told += !!(round_of(known, text, "", &again_s) & KNOWN_FULL);
	}
	return told;
}

/* In a full list, addresses seen the longest ago are removed, except those in use. */
static void test_more_than_enough(void **state)
{
	struct address_set used = {0};
	struct known known = {0};
	uint64_t begin_s = now_s;
	size_t i;

	(void)state;
	add(&used, "10.1.0.7");
	assert_int_equal(others_each_time(&known, KNOWN_MOST - 1), 0);
	assert_int_equal(known_expire(&known, &used, now_s * 1000000), 0);
	assert_int_equal(others_each_time(&known, KNOWN_MOST), 0);
	assert_int_equal(known.n, KNOWN_MOST);
	assert_true(known_due_us(&known) <= (now_s + 60) * 1000000);
	assert_in_range(known_expire(&known, &used, now_s * 1000000), KNOWN_MOST - KNOWN_ENOUGH,
			KNOWN_MOST - KNOWN_ENOUGH + 4); /* all of the same second */
	assert_true(known_has(&known, &used.list[0]));
	for (i = 0; i < known.n; i++)
		assert_true(known.list[i].seen_us > begin_s * 1000000);
	assert_int_equal(known_expire(&known, &used, now_s * 1000000), 0);
	address_set_free(&used);
	known_free(&known);
}

/* A name that has another address each time can't use up memory; the limit is reported once. */
static void test_without_end(void **state)
{
	const struct address_set nobody = {0};
	struct known known = {0};

	(void)state;
	assert_int_equal(others_each_time(&known, 3 * KNOWN_MOST), 1);
	assert_int_equal(known.n, KNOWN_MOST);
	now_s += 3600;
	assert_int_equal(known_expire(&known, &nobody, now_s * 1000000), KNOWN_MOST);
	assert_int_equal(others_each_time(&known, 1), 0);
	assert_int_equal(known.n, 1);
	known_free(&known);
}

/* Adopted addresses count as the last answer, until there is one. */
static void test_adopted(void **state)
{
	const struct prefix address = {.family = 4, .len = 32, .addr = {10, 0, 0, 1}};
	const struct address_set nobody = {0};
	struct known known = {0};
	uint32_t again_s;

	(void)state;
	assert_int_equal(known_adopt(&known, &address, 1, now_s * 1000000), 0);
	now_s += 10000;
	round_of(&known, NULL, NULL, &again_s);
	assert_int_equal(known_expire(&known, &nobody, now_s * 1000000), 0);
	round_of(&known, "10.0.0.2", "", &again_s);
	assert_int_equal(known_expire(&known, &nobody, now_s * 1000000 + KNOWN_KEEP_US - 1), 0);
	/* While look-ups fail, nothing is removed. */
	round_of(&known, NULL, NULL, &again_s);
	assert_true(known_due_us(&known) == UINT64_MAX);
	assert_int_equal(known_expire(&known, &nobody, now_s * 1000000 + 2 * KNOWN_KEEP_US), 0);
	round_of(&known, "10.0.0.2", "", &again_s);
	assert_int_equal(known_expire(&known, &nobody, now_s * 1000000 + KNOWN_KEEP_US), 1);
	expect_known(&known, "10.0.0.2");
	known_free(&known);
}

static uint32_t again_after(uint32_t v4_ttl_s, uint32_t v6_ttl_s, bool local)
{
	struct answers answers = {.local = local};
	struct known known = {0};
	uint32_t again_s;
	const char *why;

	put(&answers, RESOLVER_A, "10.0.0.1", v4_ttl_s);
	put(&answers, RESOLVER_AAAA, "fd77::1", v6_ttl_s);
	known_update(&known, &answers, 1, &again_s, &why);
	known_free(&known);
	return again_s;
}

static void test_ttl(void **state)
{
	(void)state;
	assert_int_equal(again_after(300, 20, false), 20);
	assert_int_equal(again_after(30, 200, false), 30);
	assert_int_equal(again_after(0, 300, false), 1);
	assert_int_equal(again_after(86400, UINT32_MAX, false), 3600);
	assert_int_equal(again_after(0, 0, true), 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),	   cmocka_unit_test(test_changes),
		cmocka_unit_test(test_failures),   cmocka_unit_test(test_half_failures),
		cmocka_unit_test(test_ttl),	   cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_an_hour),	   cmocka_unit_test(test_more_than_enough),
		cmocka_unit_test(test_next_to_go), cmocka_unit_test(test_without_end),
		cmocka_unit_test(test_adopted),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
