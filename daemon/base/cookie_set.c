// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/cookie_set.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_ROOM 1024u

struct cookie_block {
	uint64_t number; /* cookie / 64 + 1; 0: the slot is free */
	uint64_t bits;	 /* by cookie % 64 */
};

static uint64_t number_of(uint64_t cookie)
{
	return cookie / 64 + 1;
}

/* Returns the slot that has the block, or the free slot where it belongs. There is always a free
 * one, because the table is never full. */
static struct cookie_block *find(struct cookie_block *blocks, size_t room, uint64_t number)
{
	/* Neighbouring blocks get neighbouring slots (linear probing): they are looked up
	 * together. */
	size_t at = (size_t)(number ^ number >> 17) & (room - 1);

	while (blocks[at].number && blocks[at].number != number)
		at = (at + 1) & (room - 1);
	return &blocks[at];
}

static int grow(struct cookie_set *cookies)
{
	size_t room = cookies->room ? 2 * cookies->room : FIRST_ROOM, i;
	struct cookie_block *blocks = calloc(room, sizeof(*blocks));

	if (!blocks)
		return -ENOMEM;
	for (i = 0; i < cookies->room; i++) {
		if (cookies->blocks[i].number)
			*find(blocks, room, cookies->blocks[i].number) = cookies->blocks[i];
	}
	free(cookies->blocks);
	cookies->blocks = blocks;
	cookies->room = room;
	return 0;
}

int cookie_set_add(struct cookie_set *cookies, uint64_t cookie)
{
	struct cookie_block *block;

	if (2 * cookies->n >= cookies->room && grow(cookies))
		return -ENOMEM;
	block = find(cookies->blocks, cookies->room, number_of(cookie));
	if (!block->number)
		cookies->n++;
	block->number = number_of(cookie);
	block->bits |= (uint64_t)1 << cookie % 64;
	return 0;
}

bool cookie_set_have(const struct cookie_set *cookies, uint64_t cookie)
{
	if (!cookies->n)
		return false;
	return find(cookies->blocks, cookies->room, number_of(cookie))->bits >> cookie % 64 & 1;
}

void cookie_set_remove(struct cookie_set *cookies, uint64_t cookie)
{
	if (cookies->n) /* the slot stays in use: the search for others passes it */
		find(cookies->blocks, cookies->room, number_of(cookie))->bits &=
			~((uint64_t)1 << cookie % 64);
}

void cookie_set_free(struct cookie_set *cookies)
{
	free(cookies->blocks);
	*cookies = (struct cookie_set){0};
}
