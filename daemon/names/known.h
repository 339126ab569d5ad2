/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides which addresses a host name has, from the answers to its look-ups. It is ordinary that a
 * name is answered with a few of many addresses at a time (read replicas, weighted records). An
 * address that an answer lacks is therefore kept for an hour, and for as long as a held connection
 * goes there. Failed look-ups, and answers that a name doesn't exist, remove no address. Nothing
 * here uses the network.
 */
#ifndef HOLDFAST_NAMES_KNOWN_H
#define HOLDFAST_NAMES_KNOWN_H

#include "names/answer.h"

/* The longest time between look-ups that fail, in seconds. */
#define RESOLVER_BACKOFF_MAX_S 60u

/* How long an address is kept after the last answer that had it. A test builds the daemon with
 * another value. */
#ifndef KNOWN_KEEP_US
#define KNOWN_KEEP_US (3600u * (uint64_t)1000000u)
#endif

/*
 * A name has at most KNOWN_MOST addresses. When it has that many, addresses that are neither in the
 * last answer nor in use by a held connection are removed early, until KNOWN_ENOUGH are left. Those
 * that were in an answer the longest ago are removed first.
 */
#define KNOWN_MOST   4096u
#define KNOWN_ENOUGH 3072u

struct known_address {
	struct prefix address;
	bool current;	  /* in the last good answer of its family */
	uint64_t seen_us; /* CLOCK_MONOTONIC of the last answer that had it */
};

/* The addresses known of a name, and how its look-ups go; all zero at first. */
struct known {
	struct known_address *list; /* sorted by address; owned */
	size_t n, room;
	bool failing;	    /* the last round of look-ups failed, at least in part */
	bool full;	    /* KNOWN_FULL was reported, and there was no room since */
	uint32_t backoff_s; /* doubled by each failure in a row; 0: no failure */
};

/* The changes that a round of look-ups has made; several bits may be set. */
#define KNOWN_CHANGED	1u /* the name has new addresses */
#define KNOWN_FAILS	2u /* the first failure in a row; *why has the reason */
#define KNOWN_RECOVERED 4u /* the first success after failures */
#define KNOWN_FULL	8u /* no room for another address; reported once until there is room */

/*
 * Updates the addresses with the answers of a round, and frees the answers. Sets *again_s to the
 * number of seconds after which the name must be looked up again. Returns bits of KNOWN_*. Lack of
 * memory counts as a failure.
 */
unsigned known_update(struct known *known, struct answers *answers, uint64_t now_us,
		      uint32_t *again_s, const char **why);

/* Adds addresses from another source, as if the last good answer had had them now. Returns 0 or
 * -ENOMEM. */
int known_adopt(struct known *known, const struct prefix *list, size_t n, uint64_t now_us);

bool known_has(const struct known *known, const struct prefix *address);

/* Returns when addresses may have to be removed, on CLOCK_MONOTONIC; UINT64_MAX: never. The caller
 * then finds out which are in use, and calls known_expire(). */
uint64_t known_due_us(const struct known *known);

/*
 * Removes addresses that have expired. `used` has the addresses that held connections go to: they
 * stay, and count as seen now. Removes nothing while look-ups fail. Returns how many were removed.
 */
size_t known_expire(struct known *known, const struct address_set *used, uint64_t now_us);

void known_free(struct known *known);

#endif
