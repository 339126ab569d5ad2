// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/window.h"

#include "base/util.h"

#include <string.h>

_Static_assert(sizeof(struct window) == 7 * 8 + 2 * 4 + WINDOW_PEERS * 16 + 8,
	       "struct window has no holes");

static const uint16_t steps_s[] = {120, 60, 30, 15};

uint16_t window_next_step(uint16_t time_s)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(steps_s); i++) {
		if (steps_s[i] < time_s)
			return steps_s[i];
	}
	return 0;
}

uint16_t window_time(const struct window *window, uint16_t rule_time_s, uint64_t host_ms)
{
	uint64_t time_s = rule_time_s;

	if (window->time_s && window->time_s < time_s)
		time_s = window->time_s;
	if (host_ms && host_ms / 3000 < time_s)
		time_s = host_ms / 3000;
	return time_s ? (uint16_t)time_s : 1;
}

static bool is_step(uint16_t time_s)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(steps_s); i++) {
		if (steps_s[i] == time_s)
			return true;
	}
	return false;
}

bool window_is_sane(const struct window *window, uint64_t now_ms)
{
	const struct window *w = window;
	uint8_t flags = w->taken | w->again | w->survives | w->warned;

	if (flags > 1 || w->pad[0] || w->pad[1] || (w->time_s && !is_step(w->time_s)))
		return false;
	if (w->last_ms > now_ms || w->first_ms > now_ms || w->void_ms > now_ms)
		return false;
	if (w->n_peers > WINDOW_PEERS + 1 || w->n_peers > w->forgotten ||
	    w->forgotten > w->forgotten_count)
		return false;
	return w->forgotten || !(w->last_ms || w->first_ms || w->taken || w->again);
}

/* Nothing stands against the path any more. */
static void acquit(struct window *window)
{
	window->last_ms = window->first_ms = 0;
	window->forgotten = window->n_peers = 0;
	memset(window->peers, 0, sizeof(window->peers));
	window->taken = window->again = 0;
}

static bool began_before(const struct window_event *event, uint64_t when_ms)
{
	return when_ms && event->at_ms < when_ms + event->gap_ms;
}

static void survived(struct window *window, const struct window_event *event, uint16_t time_s)
{
	window->survived_count++;
	if (event->gap_ms > window->survived_ms)
		window->survived_ms = event->gap_ms;
	if (event->gap_ms < time_s * UINT64_C(1000))
		return;
	window->survives = 1;
	if (event->at_ms < window->last_ms)
		return; /* what stands against the path came later */
	window->warned = 0;
	acquit(window);
}

static bool has_lost_one(const struct window *window, const uint8_t peer[16])
{
	uint32_t i;

	for (i = 0; i < window->n_peers && i < WINDOW_PEERS; i++) {
		if (!memcmp(window->peers[i], peer, sizeof(window->peers[i])))
			return true;
	}
	return window->n_peers > WINDOW_PEERS;
}

static void forgotten(struct window *window, const struct window_event *event)
{
	window->forgotten_count++;
	if (!window->forgotten_ms || event->gap_ms < window->forgotten_ms)
		window->forgotten_ms = event->gap_ms;

	if (!window->forgotten)
		window->first_ms = event->at_ms;
	else if (window->taken && event->at_ms >= window->first_ms + WINDOW_EPISODE_MS)
		window->again = 1;
	if (event->at_ms > window->last_ms)
		window->last_ms = event->at_ms;
	if (window->forgotten < UINT32_MAX)
		window->forgotten++;
	window->taken = 0;
	if (has_lost_one(window, event->peer))
		return;
	if (window->n_peers < WINDOW_PEERS)
		memcpy(window->peers[window->n_peers], event->peer, sizeof(event->peer));
	window->n_peers++;
}

/*
 * Two forgotten connections are enough where no gap of the time in force was ever survived. Where
 * one was, a restart or an outage is likelier: it takes two episodes.
 */
static bool is_convicted(const struct window *window)
{
	return window->taken && (window->survives ? window->again : window->forgotten >= 2);
}

static enum window_verdict connected(struct window *window, const struct window_event *event,
				     uint16_t time_s, uint64_t window_ms)
{
	uint16_t next = window_next_step(time_s);

	if (!window->forgotten || !has_lost_one(window, event->peer))
		return WINDOW_NOTHING;
	window->taken = 1;
	if (!is_convicted(window))
		return WINDOW_NOTHING;
	acquit(window);
	if (window_ms) {
		bool again = window->warned;

		window->warned = 1;
		return again ? WINDOW_NOTHING : WINDOW_TOO_LONG;
	}
	if (!next)
		return WINDOW_NOTHING;
	window->time_s = next;
	window->survives = 0;
	return WINDOW_SHORTEN;
}

/*
 * Whether a connection that was forgotten says something of the time in force: after a longer gap
 * it was due to, by a window that is longer, too; and a gap with a suspension or a change of
 * routes in it isn't what it looks like.
 */
static bool counts(const struct window *window, const struct window_event *event, uint16_t time_s,
		   uint64_t window_ms)
{
	const uint64_t most_ms = time_s * UINT64_C(1250) + 1000; /* timers are up to 1/8 late */

	return event->gap_ms <= most_ms && (!window_ms || event->gap_ms < window_ms) &&
	       !began_before(event, window->void_ms);
}

enum window_verdict window_learn(struct window *window, const struct window_event *event,
				 uint16_t time_s, uint64_t window_ms)
{
	switch (event->kind) {
	case WINDOW_SURVIVED:
		survived(window, event, time_s);
		break;
	case WINDOW_FORGOTTEN:
		if (counts(window, event, time_s, window_ms))
			forgotten(window, event);
		break;
	case WINDOW_CONNECTED:
		return connected(window, event, time_s, window_ms);
	case WINDOW_MOVED:
		acquit(window);
		window->survives = 0;
		window->void_ms = event->at_ms;
		break;
	case WINDOW_SLEPT:
		window->void_ms = event->at_ms;
		break;
	}
	return WINDOW_NOTHING;
}
