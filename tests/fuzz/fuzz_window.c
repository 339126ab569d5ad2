// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what rules learn of their paths. The input is the rule (its time in s, its window in s or
 * 0), a struct window as it may have been pinned, and events of EVENT_SIZE bytes.
 */
#include "fuzz.h"

#include "rules/window.h"

#include <stdbool.h>

#define EVENT_SIZE 10

struct path {
	struct window window;
	uint64_t now_ms, window_ms;
	uint16_t rule_time_s;
};

static uint32_t number(const uint8_t *data)
{
	uint32_t value;

	memcpy(&value, data, sizeof(value));
	return value;
}

/* kind, a peer, time since the event before, length of the gap. */
static struct window_event event_of(const uint8_t data[EVENT_SIZE], struct path *path)
{
	struct window_event event = {.kind = (enum window_event_kind)(data[0] % (WINDOW_SLEPT + 1)),
				     .peer = {data[1]},
				     .gap_ms = number(data + 6)};

	/* The daemon hears of some events later than of others. */
	path->now_ms += number(data + 2) >> (data[0] / 8);
	event.at_ms = path->now_ms - (data[1] & 0x80 ? event.gap_ms % (path->now_ms + 1) : 0);
	return event;
}

static bool is_shorter_step(uint16_t time_s, uint16_t than_s)
{
	return time_s < than_s && (time_s == 120 || time_s == 60 || time_s == 30 || time_s == 15);
}

static void learn(struct path *path, const struct window_event *event)
{
	const struct window before = path->window;
	uint16_t time_s =
		path->window_ms ? path->rule_time_s : window_time(&before, path->rule_time_s, 0);
	enum window_verdict verdict = window_learn(&path->window, event, time_s, path->window_ms);
	const struct window *after = &path->window;

	check(window_is_sane(after, path->now_ms));
	check(after->survived_count >= before.survived_count);
	check(after->forgotten_count >= before.forgotten_count);
	check(after->survived_ms >= before.survived_ms);
	if (verdict == WINDOW_SHORTEN) {
		check(!path->window_ms && event->kind == WINDOW_CONNECTED);
		check(is_shorter_step(after->time_s, time_s));
		check(window_time(after, path->rule_time_s, 0) == after->time_s);
	} else {
		check(after->time_s == before.time_s);
	}
	if (verdict == WINDOW_TOO_LONG)
		check(path->window_ms && event->kind == WINDOW_CONNECTED && !before.warned);
	if (event->kind == WINDOW_SURVIVED && event->gap_ms >= time_s * UINT64_C(1000) &&
	    event->at_ms >= before.last_ms)
		check(after->survives && !after->forgotten);
	if (event->kind == WINDOW_MOVED)
		check(!after->survives && !after->forgotten);
}

void fuzz_window(const uint8_t *data, size_t size)
{
	struct path path = {.now_ms = UINT64_C(1) << 40};
	uint16_t time_s;

	if (size < 8 + sizeof(path.window))
		return;
	path.rule_time_s = (uint16_t)(number(data) % 32767 + 1);
	path.window_ms = number(data + 4) * UINT64_C(1000);
	memcpy(&path.window, data + 8, sizeof(path.window));
	time_s = window_time(&path.window, path.rule_time_s, number(data));
	check(time_s >= 1 && time_s <= path.rule_time_s);
	if (!window_is_sane(&path.window, path.now_ms) ||
	    path.window.survived_count > UINT64_MAX / 2 ||
	    path.window.forgotten_count > UINT64_MAX / 2)
		path.window = (struct window){0};
	data += 8 + sizeof(path.window);
	size -= 8 + sizeof(path.window);
	for (; size >= EVENT_SIZE; data += EVENT_SIZE, size -= EVENT_SIZE) {
		const struct window_event event = event_of(data, &path);

		learn(&path, &event);
	}
}
