/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remembers by which ways packets went from one address to another, so that it shows which ways
 * have changed when rtnetlink doesn't say, or its messages were lost. Whoever is root in a
 * container can have them lost at any time, so that "probe everything then" would be too much.
 */
#ifndef HOLDFAST_SOCKETS_KNOWN_WAYS_H
#define HOLDFAST_SOCKETS_KNOWN_WAYS_H

#include "bpf/types.h"

#include <stddef.h>
#include <stdint.h>

/* The most ways to remember, in 16 bytes each. With more it forgets all. A power of two. */
#ifndef KNOWN_WAYS_MAX
#define KNOWN_WAYS_MAX (64u * 1024u)
#endif

struct known_way {
	uint64_t key; /* hash of namespace and addresses; 0: empty */
	uint64_t way;
};

/* All zero: no ways are known. */
struct known_ways {
	struct known_way *table; /* owned */
	size_t n, room;		 /* room: a power of two, or 0 */
};

void known_ways_free(struct known_ways *known);

enum way_seen {
	WAY_NEW,   /* the way wasn't known */
	WAY_SAME,  /* it is the known one */
	WAY_OTHER, /* it isn't */
};

/*
 * Compares the way from one address to another with the known one, and remembers it from now on.
 * netns is an inode, peer and local are unmapped addresses. *err is 0 or -ENOMEM.
 */
enum way_seen known_ways_see(struct known_ways *known, uint64_t netns, const struct hf_flow *peer,
			     const struct hf_flow *local, uint64_t way, int *err);

#endif
