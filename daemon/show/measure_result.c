// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/address.h"
#include "base/duration.h"
#include "base/json.h"
#include "base/util.h"
#include "rules/known_windows.h"
#include "show/measure.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

/* What forgets late by so much, in percent, is still what it is known for. */
#define KNOWN_LATE_PERCENT 2

/* Idle times are told to a tenth of a second, those that lived rounded down, the others up. */
static uint64_t tenths(uint64_t ms, bool up)
{
	return (ms + (up ? 99 : 0)) / 100 * 100;
}

/* As a number of seconds for people: whole ones but for short times. */
static void format_s(uint64_t ms, bool up, char text[32])
{
	if (ms < 20000)
		snprintf(text, 32, "%" PRIu64 ".%" PRIu64 " s", tenths(ms, up) / 1000,
			 tenths(ms, up) / 100 % 10);
	else
		snprintf(text, 32, "%" PRIu64 " s", (ms + (up ? 999 : 0)) / 1000);
}

/* What a rule may have as its window: whole seconds that are safe; 0: not known. */
static uint64_t window_s(const struct rounds *rounds)
{
	return rounds_longer_than_ms(rounds) / 1000;
}

/* " (350 s: AWS Network Load Balancer, NAT gateway)": what the result looks like. */
static void print_known(const struct rounds *rounds)
{
	uint64_t low_ms = rounds_longer_than_ms(rounds), ms;
	const struct known_window *known;
	const char *before = " (";
	size_t n, i;

	known = known_windows(&n);
	low_ms -= low_ms * KNOWN_LATE_PERCENT / 100;
	for (i = 0; i < n; i++) {
		ms = (uint64_t)known[i].s * 1000;
		if (ms <= low_ms || ms > rounds->forgotten_ms)
			continue;
		printf("%s%" PRIu32 " s: %s", before, known[i].s, known[i].who);
		before = "; ";
	}
	if (*before == ';')
		putchar(')');
}

/* Those that have idled about as long as the shortest that was forgotten, or longer, and lived. */
static size_t count_lived_longer(const struct rounds *rounds, size_t *all)
{
	size_t i, lived = 0;

	for (*all = i = 0; i < rounds->n; i++) {
		const struct idled *idled = &rounds->list[i];

		if (idled->outcome == OUTCOME_VOID ||
		    idled->idle_ms <= rounds_longer_than_ms(rounds))
			continue;
		++*all;
		lived += idled->outcome == OUTCOME_ANSWERED;
	}
	return lived;
}

static void print_finding(const struct rounds *rounds)
{
	char low[32], high[32], to[DURATION_TEXT_MAX];
	size_t lived, all;

	format_s(rounds_longer_than_ms(rounds), false, low);
	if (!rounds->forgotten_ms) {
		duration_format(rounds->options.to_ms, to, sizeof(to));
		if (rounds_found(rounds))
			printf("not forgotten within %s", to);
		else if (rounds->lived_ms)
			printf("so far: not forgotten within %s", low);
		else
			printf("so far: nothing is known");
		return;
	}
	format_s(rounds->forgotten_ms, true, high);
	printf("%sforgotten after more than %s and at most %s, %s",
	       rounds_found(rounds) ? "" : "so far: ", low, high,
	       rounds->how == OUTCOME_SILENCE ? "without a word" : "with a reset");
	print_known(rounds);
	if (rounds->mixed) {
		lived = count_lived_longer(rounds, &all);
		printf("; not the same for all: of %zu connections that idled for longer than %s "
		       "%zu lived (several paths, or a full table?), and the shortest counts",
		       all, low, lived);
	}
}

void measure_show_result(const struct measure *measure)
{
	const struct rounds *rounds = &measure->rounds;

	print_finding(rounds);
	putchar('\n');
	if (window_s(rounds))
		printf("window = %" PRIu64 "s\n", window_s(rounds));
}

static struct json_object *connections_to_json(const struct rounds *rounds)
{
	static const char *const names[] = {"answered", "silence", "reset", "void"};
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; array && i < rounds->n; i++) {
		const struct idled *idled = &rounds->list[i];
		bool up = idled->outcome == OUTCOME_SILENCE || idled->outcome == OUTCOME_RESET;
		struct json_object *object = json_object_new_object();

		if (!object || json_put(object, "idle", json_seconds(tenths(idled->idle_ms, up))) ||
		    json_put(object, "outcome", json_object_new_string(names[idled->outcome])) ||
		    json_append(array, json_object_get(object))) {
			json_object_put(object);
			json_object_put(array);
			return NULL;
		}
		json_object_put(object);
	}
	return array;
}

static struct json_object *seconds_or_null(uint64_t ms, bool up)
{
	return ms ? json_seconds(tenths(ms, up)) : json_object_new_null();
}

/* json_put() takes NULL for want of memory; null is put by json-c itself. */
static int put_or_null(struct json_object *object, const char *key, struct json_object *value)
{
	return json_object_object_add(object, key, value) ? -ENOMEM : 0;
}

static int fill(struct json_object *object, const struct measure *measure, const char *why)
{
	const struct rounds *rounds = &measure->rounds;
	const struct search_peer *peer = &measure->world.peer;
	uint64_t window = window_s(rounds);
	char address[ADDRESS_TEXT_MAX];
	bool known = rounds->forgotten_ms || rounds_found(rounds);

	address_format(address, sizeof(address), peer->family, peer->address);
	if (json_put(object, "peer", json_object_new_string(address)) ||
	    json_put(object, "peer_port", json_object_new_int(peer->port)) ||
	    put_or_null(object, "forgotten",
			known ? json_object_new_boolean(rounds->forgotten_ms != 0) : NULL) ||
	    put_or_null(object, "longer_than",
			seconds_or_null(rounds_longer_than_ms(rounds), false)) ||
	    put_or_null(object, "at_most", seconds_or_null(rounds->forgotten_ms, true)) ||
	    put_or_null(object, "how",
			!rounds->forgotten_ms
				? NULL
				: json_object_new_string(
					  rounds->how == OUTCOME_SILENCE ? "silence" : "reset")) ||
	    put_or_null(object, "window", window ? json_object_new_int64((int64_t)window) : NULL) ||
	    json_put(object, "connections", connections_to_json(rounds)))
		return -ENOMEM;
	return why ? json_put(object, "why", json_object_new_string(why)) : 0;
}

int measure_show_json(const struct measure *measure, const char *why)
{
	struct json_object *object = json_object_new_object();
	int err = object ? fill(object, measure, why) : -ENOMEM;

	if (!err)
		err = json_print(object);
	json_object_put(object);
	return err;
}

void measure_examples(const struct search_peer *peer, char *text, size_t size)
{
	char at[ADDRESS_TEXT_MAX];

	address_format(at, sizeof(at), peer->family, peer->address);
	switch (peer->port) {
	case 22:
		snprintf(text, size, "ssh %s cat", at);
		break;
	case 3306:
		snprintf(text, size, "mysql -h %s", at);
		break;
	case 5432:
		snprintf(text, size, "psql -h %s", at);
		break;
	default:
		snprintf(text, size,
			 "mysql -h %s -P %u, psql -h %s -p %u, ssh -p %u %s cat, nc %s %u", at,
			 peer->port, at, peer->port, peer->port, at, at, peer->port);
	}
}
