// SPDX-License-Identifier: GPL-2.0-or-later
#include "names/answer.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

int address_compare(const struct prefix *a, const struct prefix *b)
{
	_Static_assert(sizeof(struct prefix) == 18, "compared as bytes: it has no padding");
	return memcmp(a, b, sizeof(*a));
}

/* Returns the index of an address in the set, or the index where it belongs. */
static size_t place_of(const struct address_set *set, const struct prefix *address)
{
	size_t low = 0, high = set->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (address_compare(&set->list[middle], address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool address_set_has(const struct address_set *set, const struct prefix *address)
{
	size_t at = place_of(set, address);

	return at < set->n && address_compare(&set->list[at], address) == 0;
}

int address_set_add(struct address_set *set, uint8_t family, const void *addr)
{
	struct prefix address = {.family = family, .len = family == 4 ? 32 : 128};
	size_t at;

	memcpy(address.addr, addr, family == 4 ? 4 : 16);
	prefix_unmap(&address);
	if (address_set_has(set, &address))
		return 0;
	if (array_grow(&set->list, set->n, &set->room, sizeof(*set->list)))
		return -ENOMEM;
	at = place_of(set, &address);
	memmove(&set->list[at + 1], &set->list[at], (set->n - at) * sizeof(*set->list));
	set->list[at] = address;
	set->n++;
	return 0;
}

void address_set_free(struct address_set *set)
{
	free(set->list);
	*set = (struct address_set){0};
}

void answers_free(struct answers *answers)
{
	size_t i;

	for (i = 0; i < RESOLVER_QUESTIONS; i++)
		address_set_free(&answers->of[i].set);
	*answers = (struct answers){0};
}
