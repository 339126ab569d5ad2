// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests what dns.c makes of the answers of c-ares: addresses, their TTL, and what went wrong. */
#include "unit.h"

#include "names/dns.c"

#include <arpa/inet.h>

/* Adds an address record to an answer of c-ares, in memory that ares_freeaddrinfo() frees. */
static void add_address(struct ares_addrinfo *info, const char *text, int ttl_s)
{
	struct ares_addrinfo_node *node = calloc(1, sizeof(*node)), **last = &info->nodes;
	bool four = !strchr(text, ':');

	node->ai_family = four ? AF_INET : AF_INET6;
	node->ai_addrlen = four ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	node->ai_addr = calloc(1, node->ai_addrlen);
	node->ai_addr->sa_family = (sa_family_t)node->ai_family;
	node->ai_ttl = ttl_s;
	assert_int_equal(inet_pton(node->ai_family, text,
				   four ? (void *)&((struct sockaddr_in *)node->ai_addr)->sin_addr
					: &((struct sockaddr_in6 *)node->ai_addr)->sin6_addr),
			 1);
	while (*last)
		last = &(*last)->ai_next;
	*last = node;
}

static void add_alias(struct ares_addrinfo *info, int ttl_s)
{
	struct ares_addrinfo_cname *cname = calloc(1, sizeof(*cname));

	cname->ttl = ttl_s;
	cname->next = info->cnames;
	info->cnames = cname;
}

static struct ares_addrinfo *an_answer(void)
{
	return calloc(1, sizeof(struct ares_addrinfo));
}

/* Returns the answer that one question takes from status and info. */
static struct answer answered(int status, struct ares_addrinfo *info)
{
	struct dns_lookup lookup = {.pending = 2};
	struct dns_question question = {.lookup = &lookup, .answer = &lookup.answers.of[0]};

	on_answer(&question, status, 0, info);
	assert_int_equal(lookup.pending, 1);
	return lookup.answers.of[0];
}

/* Returns the TTL of an answer with two aliases whose TTLs are first and second (-2: no alias), and
 * with two addresses whose TTLs are one and other. */
static uint32_t ttl_of(int first, int second, int one, int other)
{
	struct ares_addrinfo *info = an_answer();
	struct answer answer;

	if (first != -2)
		add_alias(info, first);
	if (second != -2)
		add_alias(info, second);
	add_address(info, "10.0.0.1", one);
	add_address(info, "10.0.0.2", other);
	answer = answered(ARES_SUCCESS, info);
	assert_int_equal(answer.kind, ANSWER_ADDRESSES);
	assert_int_equal(answer.set.n, 2);
	address_set_free(&answer.set);
	return answer.ttl_s;
}

/* The smallest TTL counts, of the addresses and of all aliases that lead to them. */
static void test_ttl(void **state)
{
	(void)state;
	assert_int_equal(ttl_of(-2, -2, 300, 20), 20);
	assert_int_equal(ttl_of(-2, -2, 20, 300), 20);
	assert_int_equal(ttl_of(5, -2, 300, 20), 5);
	assert_int_equal(ttl_of(5, 60, 300, 300), 5);
	assert_int_equal(ttl_of(60, 5, 300, 300), 5);
	assert_int_equal(ttl_of(60, 60, 300, 20), 20);
	assert_int_equal(ttl_of(0, 60, 300, 300), 0);
	/* A TTL with the highest bit set counts as 0: RFC 2181, section 8. */
	assert_int_equal(ttl_of(-2, -2, INT32_MIN, 300), 0);
	assert_int_equal(ttl_of(-2, -2, 300, -5), 0);
	assert_int_equal(ttl_of(-1, -2, 300, 20), 20); /* an alias without a TTL */
}

static void test_families(void **state)
{
	struct ares_addrinfo *info = an_answer();
	struct answers answers = {0};

	(void)state;
	add_alias(info, 7);
	add_address(info, "10.0.0.1", 30);
	add_address(info, "fd77::1", 5);
	add_address(info, "fd77::2", 50);
	on_hosts(&answers, ARES_SUCCESS, 0, info);
	assert_true(answers.local);
	assert_int_equal(answers.of[RESOLVER_A].kind, ANSWER_ADDRESSES);
	assert_int_equal(answers.of[RESOLVER_A].set.n, 1);
	assert_int_equal(answers.of[RESOLVER_A].set.list[0].family, 4);
	assert_int_equal(answers.of[RESOLVER_A].ttl_s, 7);
	assert_int_equal(answers.of[RESOLVER_AAAA].kind, ANSWER_ADDRESSES);
	assert_int_equal(answers.of[RESOLVER_AAAA].set.n, 2);
	assert_int_equal(answers.of[RESOLVER_AAAA].set.list[0].family, 6);
	assert_int_equal(answers.of[RESOLVER_AAAA].ttl_s, 5);
	answers_free(&answers);
}

/* /etc/hosts answers for both families: one that a name lacks there has no addresses. */
static void test_hosts(void **state)
{
	struct ares_addrinfo *info = an_answer();
	struct answers answers = {0};

	(void)state;
	add_address(info, "10.0.0.1", 0);
	on_hosts(&answers, ARES_SUCCESS, 0, info);
	assert_true(answers.local);
	assert_int_equal(answers.of[RESOLVER_A].kind, ANSWER_ADDRESSES);
	assert_int_equal(answers.of[RESOLVER_AAAA].kind, ANSWER_NONE);
	answers_free(&answers);

	info = an_answer();
	add_address(info, "fd77::1", 0);
	on_hosts(&answers, ARES_SUCCESS, 0, info);
	assert_int_equal(answers.of[RESOLVER_A].kind, ANSWER_NONE);
	assert_int_equal(answers.of[RESOLVER_AAAA].kind, ANSWER_ADDRESSES);
	answers_free(&answers);

	/* A name that /etc/hosts lacks has no local answer: the name servers are asked. */
	on_hosts(&answers, ARES_ENOTFOUND, 0, NULL);
	assert_false(answers.local);
	on_hosts(&answers, ARES_SUCCESS, 0, an_answer());
	assert_false(answers.local);
	assert_int_equal(answers.of[RESOLVER_A].kind, ANSWER_MISSING);
}

/* "No addresses" is an answer, a cancelled question has none, and all else is a failure with a
 * reason. */
static void test_kinds(void **state)
{
	static const struct {
		int status;
		enum answer_kind kind;
	} cases[] = {
		{ARES_ENODATA, ANSWER_NONE},	    {ARES_ENOTFOUND, ANSWER_NONE},
		{ARES_ECANCELLED, ANSWER_MISSING},  {ARES_EDESTRUCTION, ANSWER_MISSING},
		{ARES_ESERVFAIL, ANSWER_FAILED},    {ARES_ETIMEOUT, ANSWER_FAILED},
		{ARES_ECONNREFUSED, ANSWER_FAILED},
	};
	struct answer answer;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		answer = answered(cases[i].status, NULL);
		assert_int_equal(answer.kind, cases[i].kind);
		if (answer.kind != ANSWER_MISSING)
			assert_string_equal(answer.why, ares_strerror(cases[i].status));
	}
	answer = answered(ARES_SUCCESS, an_answer());
	assert_int_equal(answer.kind, ANSWER_NONE);
	assert_string_equal(answer.why, ares_strerror(ARES_ENODATA));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ttl),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests_name("resolver_dns", tests, NULL, NULL);
}
