/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rounds of look-ups with answers of ours, and what is known after them. */
#ifndef TESTS_NAMES_ROUNDS_H
#define TESTS_NAMES_ROUNDS_H

#include "unit.h"

#include "base/util.h"
#include "names/known.h"

#include <arpa/inet.h>
#include <string.h>

#define NO_WHY ((const char *)NULL)

/* Adds addresses, as in "10.0.0.1 fd77::1", to the answer of one question, with this TTL. */
static inline void put(struct answers *answers, size_t question, const char *text, uint32_t ttl_s)
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

static inline void put_none(struct answers *answers, size_t question, enum answer_kind kind,
			    const char *why)
{
	answers->of[question].kind = kind;
	answers->of[question].why = why;
}

static inline void expect(const struct address_set *set, const char *text)
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

/* Checks that a name has these addresses, in this order. */
static inline void expect_known(const struct known *known, const char *text)
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

/* The time of the next round, in seconds. */
static uint64_t now_s = 1000000;

/* Makes a round of look-ups with these addresses of each family; "": none, NULL: a failure. Returns
 * what known_update() does. */
static inline unsigned round_of(struct known *known, const char *v4, const char *v6,
				uint32_t *again_s)
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

#endif
