// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/port_classes.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

/* A port range of a rule begins at this port, or has ended just before it. */
struct event {
	uint32_t port;
	bool begin;
	size_t rule;
};

/* The set of rules that apply in one piece. It is identified by two XOR sums of pseudo-random
 * numbers, one for each rule. */
struct set {
	uint64_t sum[2];
	uint32_t class_;
	size_t piece; /* index of the piece */
};

/* The set of rules that apply at one port, while the ports are walked in order. */
struct active {
	size_t *rules; /* owned; in no order */
	size_t n;
	size_t *at; /* by rule: its index in rules; owned */
	uint64_t sum[2];
};

static void active_free(struct active *active)
{
	free(active->rules);
	free(active->at);
}

/* splitmix64 by Sebastiano Vigna (public domain). */
static uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void active_change(struct active *active, const struct event *event)
{
	size_t last, place;

	active->sum[0] ^= scramble(2 * event->rule);
	active->sum[1] ^= scramble(2 * event->rule + 1);
	if (event->begin) {
		active->at[event->rule] = active->n;
		active->rules[active->n++] = event->rule;
		return;
	}
	last = active->rules[--active->n];
	place = active->at[event->rule];
	active->rules[place] = last;
	active->at[last] = place;
}

static int compare_events(const void *left, const void *right)
{
	const struct event *a = left, *b = right;

	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->begin != b->begin)
		return a->begin ? 1 : -1;
	return (a->rule > b->rule) - (a->rule < b->rule);
}

static bool on_side(const struct rule *rule, enum hf_side side)
{
	return rule->side == RULE_SIDE_BOTH ||
	       rule->side == (side == HF_SIDE_CLIENT ? RULE_SIDE_CLIENT : RULE_SIDE_SERVER);
}

/* Lists where the port ranges of one side begin and end, in the order of ports. The caller frees
 * the list. NULL: out of memory. */
static struct event *list_events(const struct config *config, enum hf_side side, size_t *n)
{
	struct event *events;
	size_t i, j, room = 0;

	for (i = 0; i < config->n_rules; i++)
		room += on_side(&config->rules[i], side) ? 2 * config->rules[i].n_ports : 0;
	events = calloc(room + 1, sizeof(*events));
	*n = 0;
	if (!events)
		return NULL;
	for (i = 0; i < config->n_rules; i++) {
		if (!on_side(&config->rules[i], side))
			continue;
		for (j = 0; j < config->rules[i].n_ports; j++) {
			const struct port_range *range = &config->rules[i].ports[j];

			events[(*n)++] = (struct event){range->first, true, i};
			events[(*n)++] = (struct event){range->last + 1u, false, i};
		}
	}
	qsort(events, *n, sizeof(*events), compare_events);
	return events;
}

static int compare_sets(const void *left, const void *right)
{
	const struct set *a = left, *b = right;
	int order = memcmp(a->sum, b->sum, sizeof(a->sum));

	return order ? order : (a->piece > b->piece) - (a->piece < b->piece);
}

static int compare_set_pieces(const void *left, const void *right)
{
	const struct set *a = left, *b = right;

	return (a->piece > b->piece) - (a->piece < b->piece);
}

/*
 * Numbers the sets of rules in the order of their pieces. Equal sets get the same number; the empty
 * set gets number 0.
 */
static void number_sets(struct set *sets, size_t n)
{
	uint32_t number = 0;
	size_t i, first;

	/* Mark each piece with the first piece that has the same set. */
	qsort(sets, n, sizeof(*sets), compare_sets);
	for (i = 0, first = 0; i < n; i++) {
		if (memcmp(sets[i].sum, sets[first].sum, sizeof(sets[i].sum)) != 0)
			first = i;
		sets[i].class_ = (uint32_t)sets[first].piece;
	}
	/* Number the pieces in their order: that first piece is numbered before those marked with
	 * it. */
	qsort(sets, n, sizeof(*sets), compare_set_pieces);
	for (i = 0; i < n; i++) {
		if (!sets[i].sum[0] && !sets[i].sum[1])
			sets[i].class_ = 0;
		else if (sets[i].class_ == i)
			sets[i].class_ = ++number;
		else
			sets[i].class_ = sets[sets[i].class_].class_;
	}
}

static int active_new(struct active *active, size_t n_rules)
{
	*active = (struct active){0};
	active->rules = calloc(n_rules + 1, sizeof(*active->rules));
	active->at = calloc(n_rules + 1, sizeof(*active->at));
	return active->rules && active->at ? 0 : -ENOMEM;
}

int port_classes_find(const struct config *config, enum hf_side side, struct port_classes *classes,
		      port_class_fn fn, void *arg)
{
	__attribute__((cleanup(active_free))) struct active active = {0};
	_cleanup_free_ struct event *events = NULL;
	_cleanup_free_ struct set *sets = NULL;
	size_t n_events, n_sets = 0, i, j;
	uint32_t n_classes = 0;
	int err;

	*classes = (struct port_classes){0};
	events = list_events(config, side, &n_events);
	sets = calloc(n_events + 1, sizeof(*sets));
	classes->list = calloc(n_events + 1, sizeof(*classes->list));
	if (!events || !sets || !classes->list || active_new(&active, config->n_rules))
		return -ENOMEM;

	for (i = 0; i < n_events; i++) {
		active_change(&active, &events[i]);
		if (i + 1 < n_events && events[i + 1].port == events[i].port)
			continue;
		sets[n_sets].piece = n_sets;
		memcpy(sets[n_sets].sum, active.sum, sizeof(active.sum));
		classes->list[n_sets++].first = events[i].port;
	}
	classes->n = n_sets;
	number_sets(sets, n_sets);

	/* Walk the ports again, now that the classes are known. The active set is empty by now. */
	for (i = 0, j = 0; i < n_events; i++) {
		active_change(&active, &events[i]);
		if (i + 1 < n_events && events[i + 1].port == events[i].port)
			continue;
		classes->list[j].class_ = sets[j].class_;
		if (sets[j++].class_ <= n_classes)
			continue;
		err = fn(++n_classes, active.rules, active.n, arg);
		if (err)
			return err;
	}
	return 0;
}

void port_classes_free(struct port_classes *classes)
{
	free(classes->list);
	*classes = (struct port_classes){0};
}
