// SPDX-License-Identifier: GPL-2.0-or-later
#include "resolver_answer.h"
#include "util.h"

#include <errno.h>
#include <string.h>

static const char out_of_memory[] = "out of memory";

/* In the order of families and addresses: struct prefix is bytes without padding. */
static int insert(struct address_set *set, const struct prefix *address)
{
	struct prefix *list;
	size_t i;
	int order;

	for (i = 0; i < set->n; i++) {
		order = memcmp(&set->list[i], address, sizeof(*address));
		if (order == 0)
			return 0;
		if (order > 0)
			break;
	}
	list = reallocarray(set->list, set->n + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	set->list = list;
	memmove(&list[i + 1], &list[i], (set->n - i) * sizeof(*list));
	list[i] = *address;
	set->n++;
	return 0;
}

int address_set_add(struct address_set *set, uint8_t family, const void *addr)
{
	struct prefix address = {.family = family, .len = family == 4 ? 32 : 128};

	_Static_assert(sizeof(struct prefix) == 18, "compared as bytes");
	memcpy(address.addr, addr, family == 4 ? 4 : 16);
	prefix_unmap(&address);
	return insert(set, &address);
}

void address_set_free(struct address_set *set)
{
	free(set->list);
	*set = (struct address_set){0};
}

static int add_all(struct address_set *set, const struct address_set *more)
{
	size_t i;

	for (i = 0; i < more->n; i++) {
		if (insert(set, &more->list[i]))
			return -ENOMEM;
	}
	return 0;
}

static bool equal(const struct address_set *a, const struct address_set *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->list, b->list, a->n * sizeof(*a->list)));
}

void answers_free(struct answers *answers)
{
	size_t i;

	for (i = 0; i < RESOLVER_QUESTIONS; i++)
		address_set_free(&answers->of[i].set);
	*answers = (struct answers){0};
}

/* known->all anew. -ENOMEM: it stays as it was. */
static int merge(struct known *known, bool *changed)
{
	__attribute__((cleanup(address_set_free))) struct address_set all = {0};
	size_t i;

	for (i = 0; i < RESOLVER_QUESTIONS; i++) {
		if (add_all(&all, &known->of[i]))
			return -ENOMEM;
	}
	*changed = !equal(&all, &known->all);
	address_set_free(&known->all);
	known->all = all;
	all = (struct address_set){0};
	return 0;
}

/* What went wrong; NULL: nothing. A failure says more than the lack of records. */
static const char *find_fault(const struct answers *answers)
{
	const char *none = NULL;
	bool good = false;
	size_t i;

	for (i = 0; i < RESOLVER_QUESTIONS; i++) {
		const struct answer *answer = &answers->of[i];

		if (answer->kind == ANSWER_FAILED)
			return answer->why;
		if (answer->kind == ANSWER_ADDRESSES)
			good = true;
		else if (!none)
			none = answer->why;
	}
	if (good)
		return NULL;
	return none ? none : "no addresses";
}

static uint32_t smallest_ttl(const struct answers *answers)
{
	uint32_t ttl_s = RESOLVER_TTL_MAX_S;
	size_t i;

	if (answers->local)
		return RESOLVER_LOCAL_S;
	for (i = 0; i < RESOLVER_QUESTIONS; i++) {
		if (answers->of[i].kind == ANSWER_ADDRESSES && answers->of[i].ttl_s < ttl_s)
			ttl_s = answers->of[i].ttl_s;
	}
	return ttl_s < RESOLVER_TTL_MIN_S ? RESOLVER_TTL_MIN_S : ttl_s;
}

/* The families that have an answer; "there are none" counts beside one that has some. */
static void take(struct known *known, struct answers *answers)
{
	bool good = false;
	size_t i;

	for (i = 0; i < RESOLVER_QUESTIONS; i++)
		good |= answers->of[i].kind == ANSWER_ADDRESSES;
	for (i = 0; good && i < RESOLVER_QUESTIONS; i++) {
		struct answer *answer = &answers->of[i];

		if (answer->kind != ANSWER_ADDRESSES && answer->kind != ANSWER_NONE)
			continue;
		address_set_free(&known->of[i]);
		known->of[i] = answer->set;
		answer->set = (struct address_set){0};
	}
}

unsigned known_update(struct known *known, struct answers *answers, uint32_t *again_s,
		      const char **why)
{
	const char *fault = find_fault(answers);
	uint32_t ttl_s = smallest_ttl(answers);
	bool changed = false;
	unsigned news = 0;

	take(known, answers);
	answers_free(answers);
	if (merge(known, &changed))
		fault = out_of_memory;
	if (changed)
		news |= KNOWN_CHANGED;
	if (!fault) {
		if (known->failing)
			news |= KNOWN_RECOVERED;
		known->failing = false;
		known->backoff_s = 0;
		*again_s = ttl_s;
		return news;
	}
	if (!known->failing) {
		news |= KNOWN_FAILS;
		*why = fault;
	}
	known->failing = true;
	known->backoff_s = known->backoff_s ? 2 * known->backoff_s : 1;
	if (known->backoff_s > RESOLVER_BACKOFF_MAX_S)
		known->backoff_s = RESOLVER_BACKOFF_MAX_S;
	*again_s = known->backoff_s < ttl_s ? known->backoff_s : ttl_s;
	return news;
}

int known_adopt(struct known *known, const struct prefix *list, size_t n)
{
	bool changed;
	size_t i;

	for (i = 0; i < n; i++) {
		size_t question = list[i].family == 4 ? RESOLVER_A : RESOLVER_AAAA;

		if (insert(&known->of[question], &list[i]))
			return -ENOMEM;
	}
	return merge(known, &changed);
}

void known_free(struct known *known)
{
	size_t i;

	for (i = 0; i < RESOLVER_QUESTIONS; i++)
		address_set_free(&known->of[i]);
	address_set_free(&known->all);
}
