// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/host_window.h"

_Static_assert(sizeof(struct host_window) == 3 * 8 + 8, "struct host_window has no holes");

/* A packet that the socket doesn't count may have passed later, so that a window looks longer. */
#define FUZZ_MS 1000

/*
 * A connection that has idled for longer may have no entry because the timeout has become shorter
 * since the last look; one that has idled for less has none because tracking has ended.
 */
#define SHORT_MS 30000u

/* The socket's idle time is rounded down to a tick of this length at most. */
#define TICK_MS 20u

uint64_t host_window_of(uint32_t remaining_s, uint64_t idle_ms)
{
	return (remaining_s * UINT64_C(1000) + idle_ms + TICK_MS + 999) / 1000 * 1000;
}

void host_window_see(struct host_sight *sight, const struct host_window *one)
{
	struct host_window *shortest = &sight->shortest;
	uint8_t harmful;

	if (!one->window_ms)
		return;
	if (!shortest->window_ms || one->window_ms + FUZZ_MS < shortest->window_ms) {
		*shortest = *one;
		return;
	}
	if (one->window_ms > shortest->window_ms + FUZZ_MS)
		return;
	harmful = one->harmful || shortest->harmful; /* both show the same window */
	if (one->window_ms < shortest->window_ms)
		*shortest = *one;
	shortest->harmful = harmful;
}

bool host_window_denies(const struct host_window *now, uint64_t window_ms, uint64_t idle_ms)
{
	if (window_ms)
		return window_ms > now->window_ms + FUZZ_MS;
	return idle_ms < now->window_ms && idle_ms < SHORT_MS;
}

bool host_entry_is_stale(const struct host_entry *before, const struct host_entry *now)
{
	int64_t later_ms = now->drops_ms - before->drops_ms;
	bool same = later_ms >= -FUZZ_MS && later_ms <= FUZZ_MS;

	return same && (before->stale || now->packet_ms - before->packet_ms >= 3 * FUZZ_MS);
}

void host_window_take(struct host_window *now, const struct host_sight *sight)
{
	const struct host_window *seen = &sight->shortest;
	uint8_t warned = now->warned;
	bool longer;

	if (!sight->asked)
		return;
	longer = !seen->window_ms || seen->window_ms > now->window_ms + FUZZ_MS;
	if (now->window_ms && longer && !sight->denied && ++now->missed < HOST_WINDOW_MISSES)
		return;
	if (now->window_ms && !longer && seen->window_ms >= now->window_ms) {
		now->cookie = seen->cookie;
		now->harmful = seen->harmful;
		now->missed = 0;
		return;
	}
	*now = *seen;
	now->warned = warned;
}

bool host_window_is_sane(const struct host_window *host)
{
	uint8_t flags = host->by | host->harmful | host->foreign | host->warned;

	return flags <= 1 && host->missed <= HOST_WINDOW_MISSES &&
	       host->window_ms <= UINT32_MAX * UINT64_C(1000) && host->window_ms % 1000 == 0 &&
	       !(host->pad[0] | host->pad[1] | host->pad[2]);
}

uint64_t host_window_bound(const struct host_window *now)
{
	if (now->foreign && now->window_ms && now->window_ms < HOST_WINDOW_FOREIGN_MS)
		return HOST_WINDOW_FOREIGN_MS;
	return now->window_ms;
}

bool host_window_warns(struct host_window *now, uint64_t rule_window_ms)
{
	if (now->warned || !now->harmful || !now->window_ms || now->window_ms >= rule_window_ms)
		return false;
	now->warned = 1;
	return true;
}
