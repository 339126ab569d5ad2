// SPDX-License-Identifier: GPL-2.0-or-later
#include "cookies.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_ROOM 1024u

struct cookie_block {
	uint64_t number; /* cookie / 64 + 1; 0: the place is free */
	uint64_t bits;	 /* by cookie % 64 */
};

static uint64_t number_of(uint64_t cookie)
{
	return cookie / 64 + 1;
}

/* Where the block is, or where it belongs. There is a free place: the table is never full. */
static struct cookie_block *find(struct cookie_block *blocks, size_t room, uint64_t number)
{
	/* Neighbours land in neighbouring places (linear probing): they are asked for together. */
	size_t at = (size_t)(number ^ number >> 17) & (room - 1);

	while (blocks[at].number && blocks[at].number != number)
		at = (at + 1) & (room - 1);
	return &blocks[at];
}

static int grow(struct cookies *cookies)
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

int cookies_add(struct cookies *cookies, uint64_t cookie)
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

bool cookies_have(const struct cookies *cookies, uint64_t cookie)
{
	if (!cookies->n)
		return false;
	return find(cookies->blocks, cookies->room, number_of(cookie))->bits >> cookie % 64 & 1;
}

void cookies_remove(struct cookies *cookies, uint64_t cookie)
{
	if (cookies->n) /* the place stays taken, for those behind it */
		find(cookies->blocks, cookies->room, number_of(cookie))->bits &=
			~((uint64_t)1 << cookie % 64);
}

void cookies_free(struct cookies *cookies)
{
	free(cookies->blocks);
	*cookies = (struct cookies){0};
}
