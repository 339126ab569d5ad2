/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The answers to one round of look-ups of a host name: one for IPv4 and one for IPv6. */
#ifndef HOLDFAST_NAMES_ANSWER_H
#define HOLDFAST_NAMES_ANSWER_H

#include "rules/rules.h"

/* Limits of a TTL, in seconds. */
#define RESOLVER_TTL_MIN_S 1u
#define RESOLVER_TTL_MAX_S 3600u
#define RESOLVER_LOCAL_S   60u /* for answers of /etc/hosts, which have no TTL */

/* The questions about a name: its IPv4 and its IPv6 addresses. */
enum {
	RESOLVER_A,
	RESOLVER_AAAA,
	RESOLVER_QUESTIONS,
};

/* A sorted set of addresses, as prefixes of full length. */
struct address_set {
	struct prefix *list; /* owned */
	size_t n, room;
};

enum answer_kind {
	ANSWER_MISSING,	  /* there is no answer yet, or the look-up was cancelled */
	ANSWER_ADDRESSES, /* set and ttl_s are valid */
	ANSWER_NONE,	  /* the name has no such addresses, or doesn't exist */
	ANSWER_FAILED,	  /* no server has given an answer that makes sense */
};

struct answer {
	enum answer_kind kind;
	struct address_set set; /* owned */
	uint32_t ttl_s;
	const char *why; /* why there are no addresses; a static string; may be NULL */
};

struct answers {
	struct answer of[RESOLVER_QUESTIONS];
	bool local; /* from /etc/hosts, which answers for both families then */
};

/* Adds an address of 4 or 16 bytes (family 4 or 6) in network byte order, unless the set has it
 * already. IPv4-mapped IPv6 becomes IPv4. Returns 0 or -ENOMEM. */
int address_set_add(struct address_set *set, uint8_t family, const void *addr);
bool address_set_has(const struct address_set *set, const struct prefix *address);
void address_set_free(struct address_set *set);

/* Compares by family, then by address. Returns a number below, equal to or above 0. */
int address_compare(const struct prefix *a, const struct prefix *b);

void answers_free(struct answers *answers);

#endif
