// SPDX-License-Identifier: GPL-2.0-or-later
/* What of the answers to look-ups counts, and how names get into a configuration. */
#include "unit.h"

#include "../../daemon/conf.h"
#include "../../daemon/resolver_names.h"

#include <arpa/inet.h>

#define NO_WHY	  ((const char *)NULL)
#define UNCHANGED 0u

/* "10.0.0.1 fd77::1" to the answer of one question, which has them with this TTL. */
static void put(struct answers *answers, size_t question, const char *text, uint32_t ttl_s)
{
	struct answer *answer = &answers->of[question];
	char copy[256], *word, *rest = copy;
	uint8_t addr[16];

	strcpy(copy, text);
	answer->kind = ANSWER_ADDRESSES;
	answer->ttl_s = ttl_s;
	while ((word = strsep(&rest, " "))) {
		if (inet_pton(AF_INET, word, addr) == 1) {
			assert_int_equal(address_set_add(&answer->set, 4, addr), 0);
		} else {
			assert_int_equal(inet_pton(AF_INET6, word, addr), 1);
			assert_int_equal(address_set_add(&answer->set, 6, addr), 0);
		}
	}
}

static void put_none(struct answers *answers, size_t question, enum answer_kind kind,
		     const char *why)
{
	answers->of[question].kind = kind;
	answers->of[question].why = why;
}

static void expect(const struct address_set *set, const char *text)
{
	char found[512] = "", address[PREFIX_TEXT_MAX];
	size_t i;

	for (i = 0; i < set->n; i++) {
		prefix_format(&set->list[i], address, sizeof(address));
		strcat(found, i ? " " : "");
		strcat(found, address);
	}
	assert_string_equal(found, text);
}

/* Those of a name, in their order. */
static void expect_known(const struct known *known, const char *text)
{
	struct address_set set = {0};
	size_t i;

	for (i = 0; i < known->n; i++)
		assert_int_equal(address_set_add(&set, known->list[i].address.family,
						 known->list[i].address.addr),
				 0);
	expect(&set, text);
	address_set_free(&set);
}

/* The time of all rounds, in seconds. */
static uint64_t now_s = 1000000;

/* A round: the addresses of each family, "" for none, NULL for a failure. */
static unsigned round_of(struct known *known, const char *v4, const char *v6, uint32_t *again_s)
{
	const char *texts[] = {[RESOLVER_A] = v4, [RESOLVER_AAAA] = v6}, *why = NULL;
	struct answers answers = {0};
	unsigned news;
	size_t i;

	for (i = 0; i < RESOLVER_QUESTIONS; i++) {
		if (!texts[i])
			put_none(&answers, i, ANSWER_FAILED, "failed");
		else if (!*texts[i])
			put_none(&answers, i, ANSWER_NONE, "none");
		else
			put(&answers, i, texts[i], 20);
	}
	news = known_update(known, &answers, now_s * 1000000, again_s, &why);
	if (news & KNOWN_FAILS)
		assert_string_equal(why, v4 && v6 ? "none" : "failed");
	else
		assert_ptr_equal(why, NO_WHY);
	return news;
}

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
	/* The order doesn't count. */
	assert_int_equal(round_of(&known, "10.0.0.1 10.0.0.2", "fd77::1", &again_s), UNCHANGED);
	/* A family that has no addresses any more, while the other has some. */
	assert_int_equal(round_of(&known, "10.0.0.1 10.0.0.2", "", &again_s), UNCHANGED);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1");
	assert_int_equal(again_s, 20);
	/* The same address by another way. */
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
	/* Neither a server that is down nor a name that is gone takes addresses away. */
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

/* One family keeps what it has, and the other goes on. */
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
	/* Not even one that says "none": the other's word is missing. */
	assert_int_equal(round_of(&known, NULL, "", &again_s), UNCHANGED);
	expect_known(&known, "10.0.0.1 10.0.0.2 fd77::1 fd77::2");
	while (again_s < 20)
		assert_int_equal(round_of(&known, "10.0.0.2", NULL, &again_s), UNCHANGED);
	assert_int_equal(again_s, 20); /* the TTL is sooner than the backoff */
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

/* A name that answers with one of its addresses at a time has all of them. */
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

/* What no answer has had for an hour goes, unless a held connection goes there. */
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
	round_of(&known, NULL, NULL, &again_s); /* a failure takes nothing away, however long */
	round_of(&known, "", "", &again_s);
	assert_true(known_due_us(&known) == UINT64_MAX);
	now_s += 5000;
	round_of(&known, "10.0.0.3", "", &again_s);
	last_us = now_s * 1000000;
	assert_true(known_due_us(&known) == last_us + hour_us);
	add(&used, "10.0.0.2");
	assert_int_equal(known_expire(&known, &used, last_us + hour_us - 1), 0);
	/* That one counts as seen when it was found in use. */
	assert_int_equal(known_expire(&known, &used, last_us + hour_us), 1);
	expect_known(&known, "10.0.0.2 10.0.0.3");
	assert_true(known_due_us(&known) == last_us + 2 * hour_us);
	address_set_free(&used);
	assert_int_equal(known_expire(&known, &used, last_us + 2 * hour_us - 1), 0);
	assert_int_equal(known_expire(&known, &used, last_us + 2 * hour_us), 1);
	expect_known(&known, "10.0.0.3");
	known_free(&known);
}

/* So many rounds, each with another address, a second after the other. How often it was full. */
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

/* More addresses than enough: those seen the longest ago go, but for what is in use. */
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
			KNOWN_MOST - KNOWN_ENOUGH + 4); /* of one second, all */
	assert_true(known_has(&known, &used.list[0]));
	for (i = 0; i < known.n; i++)
		assert_true(known.list[i].seen_us > begin_s * 1000000);
	assert_int_equal(known_expire(&known, &used, now_s * 1000000), 0);
	address_set_free(&used);
	known_free(&known);
}

/* A name that has other addresses each time: memory has a bound, which is told once. */
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

/* Addresses of an earlier daemon count as its last answer, until there is one. */
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
	/* While look-ups fail nothing goes. */
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

static void parse(struct config *config, const char *text)
{
	struct conf_messages messages;

	assert_int_equal(conf_parse_text("t", text, strlen(text), config, &messages), 0);
	conf_messages_free(&messages);
}

static size_t count(const struct name *names)
{
	size_t n = 0;

	for (; names; names = names->next)
		n++;
	return n;
}

static struct name *get(struct name *names, const char *text)
{
	while (names && strcmp(names->text, text) != 0)
		names = names->next;
	assert_non_null(names);
	return names;
}

static void test_names(void **state)
{
	struct config config, other;
	struct name *names = NULL;
	uint32_t again_s;
	struct error e;

	(void)state;
	parse(&config, "[rule a]\ndestination = db.example, 10.9.0.0/16, other.example\n"
		       "[rule b]\ndestination = DB.Example\nport = 7\n");
	assert_int_equal(names_set(&names, &config, 1, &e), 0);
	assert_int_equal(count(names), 2); /* case doesn't count */
	round_of(&get(names, "db.example")->known, "10.0.0.2 10.0.0.1", "fd77::1", &again_s);
	assert_int_equal(names_fill(names, &config, &e), 0);
	assert_int_equal(config.rules[0].destinations[0].n_resolved, 3);
	assert_int_equal(config.rules[0].destinations[2].n_resolved, 0);
	assert_int_equal(config.rules[1].destinations[0].n_resolved, 3);
	assert_int_equal(config.rules[1].destinations[0].resolved[1].addr[3], 2);

	/* Known names are kept, others go once nobody waits for their answer. */
	get(names, "other.example")->looking = true;
	parse(&other, "[rule a]\ndestination = db.EXAMPLE\n");
	assert_int_equal(names_set(&names, &other, 1, &e), 0);
	assert_int_equal(count(names), 2);
	get(names, "other.example")->looking = false;
	names_remove_unwanted(&names);
	assert_int_equal(count(names), 1);
	assert_int_equal(names_fill(names, &other, &e), 0);
	assert_int_equal(other.rules[0].destinations[0].n_resolved, 3);
	assert_int_equal(names_fill(names, &other, &e), 0);
	names_free(&names);
	assert_null(names);

	/* A name that isn't known takes the addresses that the configuration has... */
	assert_int_equal(names_set(&names, &config, 1, &e), 0);
	expect_known(&get(names, "db.example")->known, "10.0.0.1 10.0.0.2 fd77::1");
	/* ...and an answer adds to them. */
	assert_int_equal(round_of(&get(names, "db.example")->known, "10.0.0.7", "", &again_s),
			 KNOWN_CHANGED);
	assert_int_equal(names_set(&names, &config, 1, &e), 0);
	expect_known(&get(names, "db.example")->known, "10.0.0.1 10.0.0.2 10.0.0.7 fd77::1");
	assert_int_equal(names_fill(names, &config, &e), 0);
	assert_int_equal(config.rules[1].destinations[0].n_resolved, 4);

	config_free(&other);
	parse(&other, "[rule a]\ndestination = any\n");
	assert_int_equal(names_set(&names, &other, 1, &e), 0);
	assert_null(names);
	config_free(&other);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_half_failures),
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_an_hour),
		cmocka_unit_test(test_more_than_enough),
		cmocka_unit_test(test_without_end),
		cmocka_unit_test(test_adopted),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
