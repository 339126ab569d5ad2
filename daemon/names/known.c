// SPDX-License-Identifier: GPL-2.0-or-later
#include "names/known.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

static const char out_of_memory[] = "out of memory";

/* Returns what went wrong, or NULL. A failure takes precedence over a lack of records, because it
 * says more. */
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

/* Returns the index of an address, or the index where it belongs. */
static size_t place_of(const struct known *known, const struct prefix *address)
{
	size_t low = 0, high = known->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (address_compare(&known->list[middle].address, address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool known_has(const struct known *known, const struct prefix *address)
{
	size_t at = place_of(known, address);

	return at < known->n && address_compare(&known->list[at].address, address) == 0;
}

/* Adds an address, or notes that it was seen now. Returns 1 if it is new, 0, -ENOSPC or -ENOMEM. */
static int see(struct known *known, const struct prefix *address, bool current, uint64_t now_us)
{
	size_t at = place_of(known, address);
	struct known_address *place;
	bool new = !known_has(known, address);

	if (new) {
		if (known->n >= KNOWN_MOST)
			return -ENOSPC;
		if (array_grow(&known->list, known->n, &known->room, sizeof(*known->list)))
			return -ENOMEM;
		memmove(&known->list[at + 1], &known->list[at],
			(known->n - at) * sizeof(*known->list));
		known->n++;
	}
	place = &known->list[at];
	*place = (struct known_address){.address = *address, .current = current, .seen_us = now_us};
	return new;
}

/* Notes that the current addresses of a family are not those of its last answer any more. */
static void outdate(struct known *known, uint8_t family, uint64_t now_us)
{
	size_t i;

	for (i = 0; i < known->n; i++) {
		struct known_address *one = &known->list[i];

		if (one->current && one->address.family == family) {
			one->current = false;
			one->seen_us = now_us;
		}
	}
}

/*
 * Takes the answers of a round. An answer that there are no addresses counts only if the other
 * family has some. Returns KNOWN_CHANGED and KNOWN_FULL where they apply, and sets *fault if memory
 * runs out.
 */
static unsigned take(struct known *known, const struct answers *answers, uint64_t now_us,
		     const char **fault)
{
	static const uint8_t families[RESOLVER_QUESTIONS] = {[RESOLVER_A] = 4, [RESOLVER_AAAA] = 6};
	bool good = false;
	unsigned news = 0;
	size_t i, j;
	int ret;

	for (i = 0; i < RESOLVER_QUESTIONS; i++)
		good |= answers->of[i].kind == ANSWER_ADDRESSES;
	for (i = 0; good && i < RESOLVER_QUESTIONS; i++) {
		if (answers->of[i].kind == ANSWER_ADDRESSES || answers->of[i].kind == ANSWER_NONE)
			outdate(known, families[i], now_us);
	}
	for (i = 0; i < RESOLVER_QUESTIONS; i++) {
		const struct address_set *set = &answers->of[i].set;

		for (j = 0; answers->of[i].kind == ANSWER_ADDRESSES && j < set->n; j++) {
			ret = see(known, &set->list[j], true, now_us);
			if (ret > 0)
				news |= KNOWN_CHANGED;
			if (ret == -ENOMEM)
				*fault = out_of_memory;
			if (ret == -ENOSPC && !known->full) {
				known->full = true;
				news |= KNOWN_FULL;
			}
		}
	}
	return news;
}

unsigned known_update(struct known *known, struct answers *answers, uint64_t now_us,
		      uint32_t *again_s, const char **why)
{
	const char *fault = find_fault(answers);
	uint32_t ttl_s = smallest_ttl(answers);
	unsigned news = take(known, answers, now_us, &fault);

	answers_free(answers);
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

int known_adopt(struct known *known, const struct prefix *list, size_t n, uint64_t now_us)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (see(known, &list[i], true, now_us) == -ENOMEM)
			return -ENOMEM;
	}
	return 0;
}

/*
 * How long after an address was last seen it is due for removal from a full list. known_expire()
 * marks addresses that held connections go to as seen, which puts off its next call by this time.
 */
#define AGAIN_US (60u * (uint64_t)1000000u)

uint64_t known_due_us(const struct known *known)
{
	uint64_t keep_us = known->n >= KNOWN_MOST ? AGAIN_US : KNOWN_KEEP_US, due_us = UINT64_MAX;
	size_t i;

	if (known->failing) /* that takes nothing away */
		return due_us;
	for (i = 0; i < known->n; i++) {
		const struct known_address *one = &known->list[i];

		if (!one->current && one->seen_us + keep_us < due_us)
			due_us = one->seen_us + keep_us;
	}
	return due_us;
}

/* Returns the limit of known_expire(): addresses last seen at or before this time are removed. In a
 * full list it is later than usual, so that no more than KNOWN_ENOUGH addresses are left, if
 * possible. */
static uint64_t limit_us(const struct known *known, uint64_t now_us)
{
	uint64_t limit = now_us > KNOWN_KEEP_US ? now_us - KNOWN_KEEP_US : 0, oldest;
	size_t left = known->n, i;

	while (known->n >= KNOWN_MOST && left > KNOWN_ENOUGH) {
		oldest = UINT64_MAX;
		for (i = 0; i < known->n; i++) {
			const struct known_address *one = &known->list[i];

			if (!one->current && one->seen_us > limit && one->seen_us < oldest &&
			    one->seen_us < now_us) /* not in use, and not new */
				oldest = one->seen_us;
		}
		if (oldest == UINT64_MAX)
			break;
		limit = oldest;
		for (left = i = 0; i < known->n; i++)
			left += known->list[i].current || known->list[i].seen_us > limit;
	}
	return limit;
}

size_t known_expire(struct known *known, const struct address_set *used, uint64_t now_us)
{
	uint64_t limit;
	size_t i, n = 0, before = known->n;

	if (known->failing)
		return 0;
	for (i = 0; i < known->n; i++) {
		struct known_address *one = &known->list[i];

		if (!one->current && address_set_has(used, &one->address))
			one->seen_us = now_us;
	}
	limit = limit_us(known, now_us);
	for (i = 0; i < known->n; i++) {
		if (known->list[i].current || known->list[i].seen_us > limit)
			known->list[n++] = known->list[i];
	}
	known->n = n;
	known->full = known->full && n >= KNOWN_MOST;
	return before - n;
}

void known_free(struct known *known)
{
	free(known->list);
	*known = (struct known){0};
}
