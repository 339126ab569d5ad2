// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/idle_timeouts.h"

#include "base/util.h"

#include <stdlib.h>
#include <string.h>

static uint64_t apart(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static bool is_of(const struct idle_timeout *timeout, const struct hf_ended *ended)
{
	return timeout->rule_key == ended->rule_key && timeout->family == ended->family &&
	       timeout->peer_port == ended->peer_port &&
	       memcmp(timeout->peer, ended->peer, sizeof(timeout->peer)) == 0;
}

/* Returns a place for another quiet time: a new one, or that of the oldest. NULL: out of memory. */
static struct idle_timeout *make_room(struct idle_timeouts *timeouts, const struct hf_ended *ended)
{
	struct idle_timeout *oldest = NULL, *oldest_of_peer = NULL;
	size_t of_peer = 0, i;

	for (i = 0; i < timeouts->n; i++) {
		struct idle_timeout *one = &timeouts->list[i];

		if (!oldest || one->at_ms < oldest->at_ms)
			oldest = one;
		if (!is_of(one, ended))
			continue;
		of_peer++;
		if (!oldest_of_peer || one->at_ms < oldest_of_peer->at_ms)
			oldest_of_peer = one;
	}
	if (of_peer >= IDLE_TIMEOUTS_OF_PEER)
		return oldest_of_peer;
	if (timeouts->n >= IDLE_TIMEOUTS_MOST)
		return oldest;
	if (array_grow(&timeouts->list, timeouts->n, &timeouts->room, sizeof(*timeouts->list)))
		return NULL;
	return &timeouts->list[timeouts->n++];
}

/* Returns what is remembered of the nearest quiet time that counts as the same, or NULL. */
static struct idle_timeout *find(struct idle_timeouts *timeouts, const struct hf_ended *ended)
{
	struct idle_timeout *nearest = NULL;
	uint64_t least = IDLE_TIMEOUT_APART_MS + 1, far;
	size_t i;

	for (i = 0; i < timeouts->n; i++) {
		struct idle_timeout *one = &timeouts->list[i];

		far = apart(one->quiet_ms, ended->quiet_ms);
		if (far < least && is_of(one, ended)) {
			least = far;
			nearest = one;
		}
	}
	return nearest;
}

bool idle_timeouts_suggest(struct idle_timeouts *timeouts, const struct hf_ended *ended)
{
	uint64_t at_ms = ended->at_ns / 1000000u;
	struct idle_timeout *timeout;

	if (ended->quiet_ms < IDLE_TIMEOUT_LEAST_MS)
		return false;
	timeout = find(timeouts, ended);
	if (timeout && apart(at_ms, timeout->at_ms) < IDLE_TIMEOUT_MOMENT_MS)
		return false;
	if (!timeout) {
		timeout = make_room(timeouts, ended);
		if (!timeout)
			return false;
		*timeout = (struct idle_timeout){.rule_key = ended->rule_key,
						 .peer_port = ended->peer_port,
						 .family = ended->family,
						 .quiet_ms = ended->quiet_ms};
		memcpy(timeout->peer, ended->peer, sizeof(timeout->peer));
	}
	timeout->at_ms = at_ms;
	if (timeout->closes == IDLE_TIMEOUT_CLOSES)
		return false;
	return ++timeout->closes == IDLE_TIMEOUT_CLOSES;
}

void idle_timeouts_free(struct idle_timeouts *timeouts)
{
	free(timeouts->list);
	*timeouts = (struct idle_timeouts){0};
}
