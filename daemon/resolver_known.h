/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which addresses a host name has. Names that answer with a few of many addresses at a time
 * are ordinary (read replicas, weighted records), so that an address which an answer lacks
 * isn't gone: it stays the name's for an hour, and for as long as a held connection goes
 * there. A failure, and a name that is said not to exist, take nothing away at all: what the
 * last good answers had stays. Nothing here touches the network.
 */
#ifndef HOLDFAST_RESOLVER_KNOWN_H
#define HOLDFAST_RESOLVER_KNOWN_H

#include "resolver_answer.h"

#define RESOLVER_BACKOFF_MAX_S 60u

/* So long an address is the name's after the last answer that had it. (A test builds another.) */
#ifndef KNOWN_KEEP_US
#define KNOWN_KEEP_US (3600u * (uint64_t)1000000u)
#endif

/*
 * There are never more than so many. Then those that are in no last answer, and that no held
 * connection goes to, have to go sooner, down to the latter number: the ones first that were in
 * an answer the longest ago.
 */
#define KNOWN_MOST   4096u
#define KNOWN_ENOUGH 3072u

struct known_address {
	struct prefix address;
	bool current;	  /* in the last good answer of its family */
	uint64_t seen_us; /* CLOCK_MONOTONIC of the last answer that had it */
};

/* What is known of a name by now; all zero to begin with. */
struct known {
	struct known_address *list; /* sorted by address; owned */
	size_t n, room;
	bool failing;	    /* the last round was no full success */
	bool full;	    /* an address had no room, and that has been told */
	uint32_t backoff_s; /* by the failures in a row */
};

/* What a round of look-ups has brought, any of them. */
#define KNOWN_CHANGED	1u /* there are new addresses */
#define KNOWN_FAILS	2u /* the first failure in a row; *why says what it is */
#define KNOWN_RECOVERED 4u /* and the end of the row */
#define KNOWN_FULL	8u /* there are too many: for the first time */

/*
 * Takes the answers of a round in, and what they own. *again_s: look the name up
 * again after so many seconds. Returns KNOWN_*. Out of memory counts as a failure.
 */
unsigned known_update(struct known *known, struct answers *answers, uint64_t now_us,
		      uint32_t *again_s, const char **why);

/* Takes addresses that counted elsewhere for the last good answer, of just now. -ENOMEM. */
int known_adopt(struct known *known, const struct prefix *list, size_t n, uint64_t now_us);

bool known_has(const struct known *known, const struct prefix *address);

/* When some may have to go: look then whether a held connection goes there. UINT64_MAX: never. */
uint64_t known_due_us(const struct known *known);

/*
 * Lets go of what has its time; `used` are the addresses that held connections go to. Those stay,
 * and count as seen now. How many went.
 */
size_t known_expire(struct known *known, const struct address_set *used, uint64_t now_us);

void known_free(struct known *known);

#endif
