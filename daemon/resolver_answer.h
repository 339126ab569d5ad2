/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a round of look-ups of a host name has given: one for IPv4, one for IPv6. */
#ifndef HOLDFAST_RESOLVER_ANSWER_H
#define HOLDFAST_RESOLVER_ANSWER_H

#include "rules.h"

#define RESOLVER_TTL_MIN_S 1u
#define RESOLVER_TTL_MAX_S 3600u
#define RESOLVER_LOCAL_S   60u /* /etc/hosts has no TTL */

/* A name is looked up twice: for IPv4 and for IPv6 addresses. */
enum {
	RESOLVER_A,
	RESOLVER_AAAA,
	RESOLVER_QUESTIONS,
};

/* Addresses as prefixes of full length, sorted, none twice. */
struct address_set {
	struct prefix *list; /* owned */
	size_t n, room;
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

/* addr: 4 or 16 bytes in network byte order, by family (4, 6). -ENOMEM. */
int address_set_add(struct address_set *set, uint8_t family, const void *addr);
bool address_set_has(const struct address_set *set, const struct prefix *address);
void address_set_free(struct address_set *set);

/* The order of families, then addresses, as strcmp() has it. */
int address_compare(const struct prefix *a, const struct prefix *b);

void answers_free(struct answers *answers);

#endif
