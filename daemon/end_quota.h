/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many lines the ends of connections may have in the log. Each rule in each network
 * namespace has its own share, so that a tenant whose connections end without end silences
 * nobody else; and all of them together have one, since whoever is root in a container can
 * make namespaces without end.
 */
#ifndef HOLDFAST_END_QUOTA_H
#define HOLDFAST_END_QUOTA_H

#include <stddef.h>
#include <stdint.h>

/* So many lines at once, and so many a second in the long run: of a share, and of all. */
#define END_QUOTA_AT_ONCE     2000
#define END_QUOTA_A_SECOND    100
#define END_QUOTA_ALL_AT_ONCE 8000
#define END_QUOTA_ALL_SECOND  400

struct end_bucket {
	unsigned lines;	  /* that may be written at the moment */
	uint64_t last_ms; /* when some were added last */
};

struct end_share {
	uint64_t rule_key, netns;
	struct end_bucket bucket;
	uint64_t used_ms; /* when it was asked for last */
	size_t untold;	  /* since its last line */
};

struct end_quota {
	struct end_bucket all;
	struct end_share *shares; /* owned; no more than a thousand: the one that rested longest
				     makes room */
	size_t n, room;
};

void end_quota_init(struct end_quota *quota, uint64_t now_ms);
void end_quota_free(struct end_quota *quota);

/*
 * Asks for a line. 1: write it; *untold is how many had none since the last one. 0: don't, and
 * it is the first one of its share to have none: say so. -1: don't. Milliseconds of any clock
 * that doesn't go back.
 */
int end_quota_ask(struct end_quota *quota, uint64_t rule_key, uint64_t netns, uint64_t now_ms,
		  size_t *untold);

#endif
