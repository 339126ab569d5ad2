/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limits how many log lines the ends of connections get. Each rule in each network namespace has
 * a share of its own: a tenant whose connections keep ending uses up no lines of another tenant.
 * All shares together are limited as well, since root in a container can make any number of
 * namespaces.
 */
#ifndef HOLDFAST_SOCKETS_CONNECTION_END_QUOTA_H
#define HOLDFAST_SOCKETS_CONNECTION_END_QUOTA_H

#include <stddef.h>
#include <stdint.h>

/* Lines at once, and lines a second in the long run, for one share and for all together. */
#define END_QUOTA_AT_ONCE     2000
#define END_QUOTA_A_SECOND    100
#define END_QUOTA_ALL_AT_ONCE 8000
#define END_QUOTA_ALL_SECOND  400

struct end_bucket {
	unsigned lines;	  /* may be written now */
	uint64_t last_ms; /* when lines were added last */
};

struct end_share {
	uint64_t rule_key, netns;
	struct end_bucket bucket;
	uint64_t used_ms; /* when a line was asked for last */
	size_t untold;	  /* ends without a line since the last line */
};

struct connection_end_quota {
	struct end_bucket all;
	struct end_share *shares; /* owned; 1024 at most: a new one then replaces the one that
				     wasn't used for longest */
	size_t n, room;
};

void connection_end_quota_init(struct connection_end_quota *quota, uint64_t now_ms);
void connection_end_quota_free(struct connection_end_quota *quota);

/*
 * Asks for a line in the share of this rule and namespace. now_ms is of any clock that doesn't go
 * back. Returns
 *
 *   1   write it; *untold is how many ends of the share got no line since its last one
 *   0   don't write it, but say that lines are left out: it is the first one since the last line
 *   -1  don't write it
 */
int connection_end_quota_ask(struct connection_end_quota *quota, uint64_t rule_key, uint64_t netns,
			     uint64_t now_ms, size_t *untold);

#endif
