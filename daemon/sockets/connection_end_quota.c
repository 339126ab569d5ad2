// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/connection_end_quota.h"

#include "base/util.h"

#include <stdbool.h>
#include <stdlib.h>

#define SHARES_MAX 1024u

static void add(struct end_bucket *bucket, uint64_t now_ms, unsigned at_once, unsigned a_second)
{
	uint64_t more = (now_ms - bucket->last_ms) * a_second / 1000;

	if (!more)
		return;
	bucket->last_ms = now_ms;
	bucket->lines = more < at_once - bucket->lines ? bucket->lines + (unsigned)more : at_once;
}

void connection_end_quota_init(struct connection_end_quota *quota, uint64_t now_ms)
{
	*quota = (struct connection_end_quota){.all = {END_QUOTA_ALL_AT_ONCE, now_ms}};
}

void connection_end_quota_free(struct connection_end_quota *quota)
{
	free(quota->shares);
	*quota = (struct connection_end_quota){0};
}

static struct end_share *find(struct connection_end_quota *quota, uint64_t rule_key, uint64_t netns)
{
	size_t i;

	for (i = 0; i < quota->n; i++) {
		if (quota->shares[i].rule_key == rule_key && quota->shares[i].netns == netns)
			return &quota->shares[i];
	}
	return NULL;
}

/* Returns the place for a new share; NULL: out of memory. */
static struct end_share *make_room(struct connection_end_quota *quota)
{
	struct end_share *oldest;
	size_t i;

	if (quota->n < SHARES_MAX) {
		if (array_grow(&quota->shares, quota->n, &quota->room, sizeof(*quota->shares)))
			return NULL;
		return &quota->shares[quota->n++];
	}
	oldest = &quota->shares[0];
	for (i = 1; i < quota->n; i++) {
		if (quota->shares[i].used_ms < oldest->used_ms)
			oldest = &quota->shares[i];
	}
	return oldest;
}

int connection_end_quota_ask(struct connection_end_quota *quota, uint64_t rule_key, uint64_t netns,
			     uint64_t now_ms, size_t *untold)
{
	struct end_share *share = find(quota, rule_key, netns);

	*untold = 0;
	if (!share) {
		share = make_room(quota);
		if (!share)
			return -1;
		*share = (struct end_share){.rule_key = rule_key,
					    .netns = netns,
					    .bucket = {END_QUOTA_AT_ONCE, now_ms}};
	}
	share->used_ms = now_ms;
	add(&quota->all, now_ms, END_QUOTA_ALL_AT_ONCE, END_QUOTA_ALL_SECOND);
	add(&share->bucket, now_ms, END_QUOTA_AT_ONCE, END_QUOTA_A_SECOND);
	if (!share->bucket.lines || !quota->all.lines)
		return share->untold++ ? -1 : 0;
	share->bucket.lines--;
	quota->all.lines--;
	*untold = share->untold;
	share->untold = 0;
	return 1;
}
