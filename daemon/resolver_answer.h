/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What look-ups of a host name have given, and what of it counts: a family whose
 * look-up fails keeps the addresses that it had, and so does a name that is said
 * not to exist any more. Nothing here touches the network.
 */
#ifndef HOLDFAST_RESOLVER_ANSWER_H
#define HOLDFAST_RESOLVER_ANSWER_H

#include "rules.h"

#define RESOLVER_TTL_MIN_S     1u
#define RESOLVER_TTL_MAX_S     3600u
#define RESOLVER_LOCAL_S       60u /* /etc/hosts has no TTL */
#define RESOLVER_BACKOFF_MAX_S 60u

/* A name is looked up twice: for IPv4 and for IPv6 addresses. */
enum {
	RESOLVER_A,
	RESOLVER_AAAA,
	RESOLVER_QUESTIONS,
};

/* Addresses as prefixes of full length, sorted, none twice. */
struct address_set {
	struct prefix *list; /* owned */
	size_t n;
};

enum answer_kind {
	ANSWER_MISSING,	  /* not there, or cancelled */
	ANSWER_ADDRESSES, /* set and ttl_s */
	ANSWER_NONE,	  /* the name has no such addresses, or doesn't exist */
	ANSWER_FAILED,	  /* no server has given an answer that makes sense */
};

struct answer {
	enum answer_kind kind;
	struct address_set set;
	uint32_t ttl_s;
	const char *why; /* a static string, where there are no addresses */
};

struct answers {
	struct answer of[RESOLVER_QUESTIONS];
	bool local; /* from /etc/hosts, which then answers for both families */
};

/* What is known of a name by now; all zero to begin with. */
struct known {
	struct address_set of[RESOLVER_QUESTIONS]; /* the last good ones */
	struct address_set all;			   /* both, IPv4-mapped ones as IPv4 */
	bool failing;				   /* the last round was no full success */
	uint32_t backoff_s;			   /* by the failures in a row */
};

/* What a round of look-ups has brought, any of them. */
#define KNOWN_CHANGED	1u /* known.all is another set */
#define KNOWN_FAILS	2u /* the first failure in a row; *why says what it is */
#define KNOWN_RECOVERED 4u /* and the end of the row */

/* addr: 4 or 16 bytes in network byte order, by family (4, 6). -ENOMEM. */
int address_set_add(struct address_set *set, uint8_t family, const void *addr);
void address_set_free(struct address_set *set);

void answers_free(struct answers *answers);

/*
 * Takes the answers of a round in, and what they own. *again_s: look the name up
 * again after so many seconds. Returns KNOWN_*. Out of memory counts as a failure.
 */
unsigned known_update(struct known *known, struct answers *answers, uint32_t *again_s,
		      const char **why);

/* Takes addresses that counted elsewhere for the last good ones. -ENOMEM. */
int known_adopt(struct known *known, const struct prefix *list, size_t n);

void known_free(struct known *known);

#endif
