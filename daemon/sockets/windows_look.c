// SPDX-License-Identifier: GPL-2.0-or-later
/* The evidence of held sockets: which gaps they survived, and which they didn't. */
#include "base/clock.h"
#include "base/duration.h"
#include "base/util.h"
#include "host/iterate.h"
#include "host/netns.h"
#include "sockets/learned.h"
#include "sockets/windows.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/*
 * Held sockets that a look reads, out of all; every LOOK_ALL_EVERY looks it reads all of them.
 * Reading 100,000 takes longer than the rest of a reconcile pass.
 */
#define LOOK_MOST      2048u
#define LOOK_ALL_EVERY 32u

/* CLOCK_BOOTTIME gains more than this on CLOCK_MONOTONIC in a suspension. */
#define SLEPT_MS 1000

/* An address as struct window_event has it. */
static void put_peer(uint8_t to[16], uint8_t family, const uint8_t from[16])
{
	memset(to, 0, 16);
	if (family == 4) {
		to[10] = to[11] = 0xff;
		memcpy(to + 12, from, 4);
	} else {
		memcpy(to, from, 16);
	}
}

static void tell_shorter(const struct windows *windows, const struct rule *rule,
			 const struct learned *learned, uint16_t before_s)
{
	const struct window *window = learned->window;

	log_notice(windows->log,
		   "rule %s: the path forgets connections that idle for %.1f s (%" PRIu64
		   " forgotten so, and their servers take new ones): keepalive time is %u s now, "
		   "and was %u s (to keep that, write window = %us)",
		   rule->name, (double)window->forgotten_ms / 1000, window->forgotten_count,
		   rule->time_s, before_s, (unsigned)(window->forgotten_ms / 1000));
}

static void tell_too_long(const struct windows *windows, const struct rule *rule,
			  const struct learned *learned)
{
	const struct window *window = learned->window;
	char said[DURATION_TEXT_MAX];

	duration_format(rule->window_ms, said, sizeof(said));
	log_warning(windows->log,
		    "rule %s says window = %s, but the path forgets connections that idle for "
		    "%.1f s (%" PRIu64 " forgotten so, and their servers take new ones): write "
		    "window = %us, or auto",
		    rule->name, said, (double)window->forgotten_ms / 1000, window->forgotten_count,
		    (unsigned)(window->forgotten_ms / 1000));
}

static void learn(struct windows *windows, struct learned *learned, struct rule *rule,
		  const struct window_event *event)
{
	uint16_t before_s = rule->time_s;

	if (!learned->window)
		learned->window = calloc(1, sizeof(*learned->window));
	if (!learned->window)
		return; /* evidence that comes again */
	switch (window_learn(learned->window, event, rule->time_s, rule->window_ms)) {
	case WINDOW_SHORTEN:
		windows_set_times(learned, rule);
		tell_shorter(windows, rule, learned, before_s);
		windows->changed = true;
		break;
	case WINDOW_TOO_LONG:
		tell_too_long(windows, rule, learned);
		break;
	case WINDOW_NOTHING:
		break;
	}
}

struct look {
	struct windows *windows;
	const struct config *config;
	uint32_t generation;
	uint64_t boot_ms, monotonic_ns;
	size_t left; /* sockets that may still be read */
	bool asks;   /* what this host itself forgets */
};

static void see_answer(struct look *look, struct seen *seen, const struct rule *rule,
		       const struct hf_view *view)
{
	uint64_t time_ms = rule->time_s * UINT64_C(1000), gap_ms = view->gap_ms;
	uint64_t at_ms = look->boot_ms - view->received_ms;

	if (gap_ms < time_ms || at_ms < look->windows->looked_ms)
		return;
	/* After several answered probes the gaps between them aren't known: each was this long. */
	if (gap_ms >= 2 * time_ms)
		gap_ms = time_ms;
	seen->count++;
	if (gap_ms > seen->gap_ms)
		seen->gap_ms = gap_ms;
	if (at_ms > seen->at_ms)
		seen->at_ms = at_ms;
}

static void see_new(struct look *look, const struct learned *learned, struct seen *seen,
		    const struct hf_view *view)
{
	uint64_t age_ms = (look->monotonic_ns - view->held_ns) / 1000000u;
	uint8_t peer[16];
	uint32_t i;

	if (look->boot_ms - age_ms <= learned->window->last_ms)
		return;
	put_peer(peer, view->family, view->peer);
	for (i = 0; i < seen->n_taken; i++) {
		if (!memcmp(seen->taken[i], peer, sizeof(peer)))
			return;
	}
	if (seen->n_taken < WINDOW_PEERS)
		memcpy(seen->taken[seen->n_taken++], peer, sizeof(peer));
}

static int on_view(const void *record, void *arg)
{
	const struct hf_view *view = record;
	struct look *look = arg;
	struct learned *learned;

	if (!look->left--)
		return 1;
	if (!(view->flags & HF_VIEW_MATCH) || view->state != TCP_ESTABLISHED ||
	    view->generation != look->generation || view->rule >= look->windows->now.n)
		return 0;
	learned = &look->windows->now.list[view->rule];
	if (!learned->seen)
		learned->seen = calloc(1, sizeof(*learned->seen));
	if (!learned->seen)
		return -ENOMEM;
	see_answer(look, learned->seen, &look->config->rules[view->rule], view);
	if (learned->window && learned->window->forgotten && view->way != HF_WAY_SWEEP)
		see_new(look, learned, learned->seen, view);
	if (look->asks && look->config->rules[view->rule].enforce)
		return agers_add(&look->windows->agers, view, learned->host);
	return 0;
}

/* Draws the conclusions of a look for one rule. */
static void conclude(struct windows *windows, struct learned *learned, struct rule *rule,
		     uint64_t now_ms)
{
	struct window_event event = {.at_ms = now_ms, .kind = WINDOW_CONNECTED};
	struct seen *seen = learned->seen;
	uint32_t i;

	if (!seen)
		return;

	if (seen->count) {
		const struct window_event survived = {
			.at_ms = seen->at_ms, .gap_ms = seen->gap_ms, .kind = WINDOW_SURVIVED};

		learn(windows, learned, rule, &survived);
		if (learned->window)
			learned->window->survived_count += seen->count - 1;
	}
	for (i = 0; i < seen->n_taken; i++) {
		memcpy(event.peer, seen->taken[i], sizeof(event.peer));
		learn(windows, learned, rule, &event);
	}
	if (seen->count || seen->n_taken)
		windows_keep(windows, learned);
	free(seen);
	learned->seen = NULL;
}

/* Notes a suspension: gaps across it were longer than the kernel's clocks say. */
static void note_suspension(struct windows *windows, struct config *config, uint64_t now_ms)
{
	const struct window_event event = {.at_ms = now_ms, .kind = WINDOW_SLEPT};
	int64_t suspended_ms = (int64_t)now_ms - monotonic_ms();
	size_t i;

	if (suspended_ms - windows->suspended_ms > SLEPT_MS) {
		for (i = 0; i < windows->now.n; i++) {
			if (windows->now.list[i].window)
				learn(windows, &windows->now.list[i], &config->rules[i], &event);
		}
	}
	windows->suspended_ms = suspended_ms;
}

int windows_look(struct windows *windows, struct config *config, uint32_t generation,
		 struct error *e)
{
	struct look look = {.windows = windows,
			    .config = config,
			    .generation = generation,
			    .boot_ms = windows_now_ms(),
			    .monotonic_ns = clock_ns(CLOCK_MONOTONIC)};
	struct netns_list namespaces = {0};
	size_t i;
	int err;

	if (windows->now.n != config->n_rules)
		return 0;
	note_suspension(windows, config, look.boot_ms);
	look.asks = windows_asks_host(windows, look.boot_ms);
	look.left = ++windows->looks % LOOK_ALL_EVERY ? LOOK_MOST : SIZE_MAX;
	/* Only an iterator that sees one namespace needs to know which there are. */
	err = pins_has(&windows->plane->pins, PIN_HELD)
		      ? 0
		      : netns_find(&windows->plane->pins, &namespaces, e);
	if (err)
		return err;
	err = iterate_all(windows->plane, PIN_HELD, PIN_HELD_HERE, &namespaces,
			  sizeof(struct hf_view), on_view, &look, e);
	netns_list_free(&namespaces);
	for (i = 0; i < windows->now.n; i++)
		conclude(windows, &windows->now.list[i], &config->rules[i], look.boot_ms);
	windows_ask_host(windows, config, look.boot_ms);
	windows->looked_ms = look.boot_ms;
	if (windows->changed) {
		windows->changed = false;
		return 1;
	}
	return err < 0 ? err : 0;
}

void windows_ended(struct windows *windows, struct config *config, const struct hf_ended *ended)
{
	struct window_event event = {.kind = WINDOW_FORGOTTEN};
	struct learned *learned = windows_find(&windows->now, ended->rule_key);
	uint64_t interval_ms, out_ms, probes = ended->probes;
	struct rule *rule;

	if (!learned || windows->now.n != config->n_rules || !probes)
		return;
	if (ended->cause == HF_END_PROBE_RESET)
		probes--; /* the last one was answered at once, by the reset */
	else if (ended->cause != HF_END_KEEPALIVE && ended->cause != HF_END_USER_TIMEOUT)
		return;
	rule = &config->rules[learned - windows->now.list];
	interval_ms = rule->interval_s * UINT64_C(1000);
	out_ms = probes * interval_ms;
	/* Data that went out after the last packet came in, and wasn't answered: no probe's gap. */
	if (ended->idle_ms <= out_ms || ended->quiet_ms < ended->idle_ms - out_ms)
		return;
	event.gap_ms = ended->idle_ms - out_ms;
	event.at_ms = ended->at_ns / 1000000u - out_ms;
	put_peer(event.peer, ended->family, ended->peer);
	learn(windows, learned, rule, &event);
	windows_keep(windows, learned);
}

void windows_moved(struct windows *windows, struct config *config, const struct u64_set *rules)
{
	const struct window_event event = {.at_ms = windows_now_ms(), .kind = WINDOW_MOVED};
	size_t i;

	for (i = 0; i < windows->now.n && i < config->n_rules; i++) {
		if (!u64_set_have(rules, i))
			continue;
		learn(windows, &windows->now.list[i], &config->rules[i], &event);
		windows_keep(windows, &windows->now.list[i]);
	}
}
