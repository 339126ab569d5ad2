// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/known_ways.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

#define ROOM_LEAST 64u

void known_ways_free(struct known_ways *known)
{
	free(known->table);
	*known = (struct known_ways){0};
}

/* Returns the entry of that key, or the empty one where it belongs. The table has an empty one. */
static struct known_way *find(const struct known_ways *known, uint64_t key)
{
	size_t at = (size_t)(key >> 1) & (known->room - 1); /* the lowest bit is always set */

	while (known->table[at].key && known->table[at].key != key)
		at = (at + 1) & (known->room - 1);
	return &known->table[at];
}

/* Makes room for one more. Returns 0 or -ENOMEM. */
static int make_room(struct known_ways *known)
{
	struct known_ways bigger = {.room = known->room ? 2 * known->room : ROOM_LEAST};
	size_t i;

	if (known->n < known->room / 2)
		return 0;
	if (bigger.room > 2 * (size_t)KNOWN_WAYS_MAX) {
		known_ways_free(known);
		bigger.room = ROOM_LEAST;
	}
	bigger.table = calloc(bigger.room, sizeof(*bigger.table));
	if (!bigger.table)
		return -ENOMEM;
	for (i = 0; i < known->room; i++) {
		if (known->table[i].key)
			*find(&bigger, known->table[i].key) = known->table[i];
	}
	bigger.n = known->n;
	free(known->table);
	*known = bigger;
	return 0;
}

enum way_seen known_ways_see(struct known_ways *known, uint64_t netns, const struct hf_flow *peer,
			     const struct hf_flow *local, uint64_t way, int *err)
{
	uint64_t key = HASH_BEGIN;
	enum way_seen seen;
	struct known_way *entry;

	*err = make_room(known);
	if (*err)
		return WAY_NEW;
	hash_add(&key, &netns, sizeof(netns));
	hash_add(&key, &peer->family, sizeof(peer->family));
	hash_add(&key, peer->peer, sizeof(peer->peer));
	hash_add(&key, local->peer, sizeof(local->peer));
	key |= 1; /* never 0 */
	entry = find(known, key);
	seen = !entry->key ? WAY_NEW : entry->way == way ? WAY_SAME : WAY_OTHER;
	known->n += seen == WAY_NEW;
	*entry = (struct known_way){.key = key, .way = way};
	return seen;
}
