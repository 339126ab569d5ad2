// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rules to trie entries. Ports first: sweeping over the ends of all port ranges
 * cuts 1 to 65535 into pieces in which the same rules apply. Pieces with the
 * same set of rules share a class, and when a class is new, every rule of the
 * set puts its destinations under it. The pieces of both sides are then laid
 * over each other and cut into binary prefixes that never overlap: a port has
 * one key, and so the longest match needs to know nothing of shorter ones.
 */
#include "../bpf/match.h"
#include "rules.h"
#include "util.h"

#include <errno.h>
#include <string.h>

/* A trie node takes about 100 bytes in the kernel. */
#define ENTRIES_MAX (1u << 20)

#define PORT_END 65536u

/* An entry, and who wants it: the first in this order keeps it. */
struct draft {
	struct rule_entry entry;
	bool by_name;
};

struct drafts {
	struct draft *list;
	size_t n, room;
};

/* A rule's ports begin, or have ended, here. */
struct event {
	uint32_t port;
	bool begin;
	size_t rule;
};

/* From this port on, up to the next piece, this class. */
struct piece {
	uint32_t first;
	uint32_t class_;
};

struct pieces {
	struct piece *list;
	size_t n;
};

/* A set of rules, by two sums of random numbers that stand for its members. */
struct set {
	uint64_t sum[2];
	uint32_t class_;
	size_t piece; /* where it was met */
};

/* The rules that apply at the port where the sweep has arrived. */
struct active {
	size_t *rules; /* in no order */
	size_t n;
	size_t *at; /* by rule: its place in rules */
	uint64_t sum[2];
};

static void drafts_free(struct drafts *drafts)
{
	free(drafts->list);
}

static void pieces_free(struct pieces *pieces)
{
	free(pieces->list);
}

static void active_free(struct active *active)
{
	free(active->rules);
	free(active->at);
}

static int out_of_memory(struct error *e)
{
	return error_set(e, ENOMEM, "out of memory");
}

static struct draft *drafts_add(struct drafts *drafts, int *err, struct error *e)
{
	struct draft *list;
	size_t room;

	if (drafts->n == drafts->room) {
		if (drafts->n >= ENTRIES_MAX) {
			*err = error_set(e, E2BIG,
					 "the rules need more than %u map entries (let rules "
					 "share port lists, or merge prefixes)",
					 ENTRIES_MAX);
			return NULL;
		}
		room = drafts->room ? 2 * drafts->room : 64;
		list = realloc(drafts->list, room * sizeof(*list));
		if (!list) {
			*err = out_of_memory(e);
			return NULL;
		}
		drafts->list = list;
		drafts->room = room;
	}
	list = &drafts->list[drafts->n++];
	memset(list, 0, sizeof(*list));
	return list;
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

static int add_peer(struct drafts *drafts, const struct rule *rule, struct hf_rule value,
		    enum hf_side side, uint32_t class_, struct prefix prefix, bool by_name,
		    struct error *e)
{
	struct draft *draft;
	int err = 0;

	draft = drafts_add(drafts, &err, e);
	if (!draft)
		return err;
	prefix_unmap(&prefix);
	hf_key_peer(&draft->entry.key, side, class_, prefix.family, prefix.addr, prefix.len);
	value.key = rule_key(rule->name);
	value.user_timeout_ms = rule->user_timeout_ms;
	value.time_s = rule->time_s;
	value.interval_s = rule->interval_s;
	value.probes = rule->probes;
	value.override = (uint8_t)rule->override;
	value.flags = rule->enforce ? HF_RULE_ENFORCE : 0;
	value.prefix_len = prefix.len;
	draft->entry.value.rule = value;
	draft->by_name = by_name;
	return 0;
}

/* All destinations of a rule, under a class. */
static int add_peers(struct drafts *drafts, const struct rule *rule, struct hf_rule value,
		     enum hf_side side, uint32_t class_, struct error *e)
{
	static const struct prefix everything[] = {{.family = 4}, {.family = 6}};
	const struct destination *destination;
	const struct prefix *prefixes = NULL;
	size_t i, j, n = 0;
	int err;

	for (i = 0; i < rule->n_destinations; i++) {
		destination = &rule->destinations[i];
		switch (destination->kind) {
		case DESTINATION_ANY:
			prefixes = everything;
			n = ARRAY_SIZE(everything);
			break;
		case DESTINATION_PREFIX:
			prefixes = &destination->prefix;
			n = 1;
			break;
		case DESTINATION_NAME:
			prefixes = destination->resolved;
			n = destination->n_resolved;
			break;
		}
		for (j = 0; j < n; j++) {
			err = add_peer(drafts, rule, value, side, class_, prefixes[j],
				       destination->kind == DESTINATION_NAME, e);
			if (err)
				return err;
		}
	}
	return 0;
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

/* Where the port ranges of one side begin and end, in the order of ports. NULL: no memory. */
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
 * Numbers the sets of rules, equal ones alike, in the order in which the sweep
 * meets them. The empty set has number 0.
 */
static void number_sets(struct set *sets, size_t n)
{
	uint32_t number = 0;
	size_t i, first;

	/* Mark each piece with the first one that has the same set... */
	qsort(sets, n, sizeof(*sets), compare_sets);
	for (i = 0, first = 0; i < n; i++) {
		if (memcmp(sets[i].sum, sets[first].sum, sizeof(sets[i].sum)) != 0)
			first = i;
		sets[i].class_ = (uint32_t)sets[first].piece;
	}
	/* ...which comes before the others that refer to it. */
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

/* Sweeps over one side: its pieces, and the peers under each class. */
static int compile_side(const struct config *config, uint32_t generation, enum hf_side side,
			struct drafts *drafts, struct pieces *pieces, struct error *e)
{
	__attribute__((cleanup(active_free))) struct active active = {0};
	_cleanup_free_ struct event *events = NULL;
	_cleanup_free_ struct set *sets = NULL;
	size_t n_events, n_sets = 0, i, j, k;
	uint32_t n_classes = 0;
	int err;

	events = list_events(config, side, &n_events);
	sets = calloc(n_events + 1, sizeof(*sets));
	pieces->list = calloc(n_events + 1, sizeof(*pieces->list));
	if (!events || !sets || !pieces->list || active_new(&active, config->n_rules))
		return out_of_memory(e);

	for (i = 0; i < n_events; i++) {
		active_change(&active, &events[i]);
		if (i + 1 < n_events && events[i + 1].port == events[i].port)
			continue;
		sets[n_sets].piece = n_sets;
		memcpy(sets[n_sets].sum, active.sum, sizeof(active.sum));
		pieces->list[n_sets++].first = events[i].port;
	}
	pieces->n = n_sets;
	number_sets(sets, n_sets);

	/* Once more, with the classes known. All rules have left the set by now. */
	for (i = 0, j = 0; i < n_events; i++) {
		active_change(&active, &events[i]);
		if (i + 1 < n_events && events[i + 1].port == events[i].port)
			continue;
		pieces->list[j].class_ = sets[j].class_;
		if (sets[j++].class_ <= n_classes)
			continue;
		n_classes++;
		for (k = 0; k < active.n; k++) {
			struct hf_rule value = {.index = (uint32_t)active.rules[k],
						.generation = generation};

			err = add_peers(drafts, &config->rules[active.rules[k]], value, side,
					n_classes, e);
			if (err)
				return err;
		}
	}
	return 0;
}

/* Keys for first to last, none of which overlap. */
static int add_ports(struct drafts *drafts, uint32_t first, uint32_t last, struct hf_ports classes,
		     struct error *e)
{
	struct draft *draft;
	uint32_t size;
	int err = 0;

	while (first <= last) {
		/* The largest block that begins here, and ends in time. */
		size = first ? first & -first : PORT_END;
		while (size > last - first + 1)
			size /= 2;
		draft = drafts_add(drafts, &err, e);
		if (!draft)
			return err;
		hf_key_port(&draft->entry.key, (uint16_t)first, 16 - (uint32_t)__builtin_ctz(size));
		draft->entry.value.ports = classes;
		first += size;
	}
	return 0;
}

/* Lays the pieces of both sides over each other. */
static int compile_ports(const struct pieces sides[2], struct drafts *drafts, struct error *e)
{
	struct hf_ports classes = {0};
	size_t at[2] = {0};
	uint32_t first = 1, next;
	int err, side;

	while (first < PORT_END) {
		next = PORT_END;
		for (side = 0; side < 2; side++) {
			const struct pieces *pieces = &sides[side];

			while (at[side] < pieces->n && pieces->list[at[side]].first <= first)
				classes.class_[side] = pieces->list[at[side]++].class_;
			if (at[side] < pieces->n && pieces->list[at[side]].first < next)
				next = pieces->list[at[side]].first;
		}
		if (classes.class_[0] || classes.class_[1]) {
			err = add_ports(drafts, first, next - 1, classes, e);
			if (err)
				return err;
		}
		first = next;
	}
	return 0;
}

static int compare_keys(const struct hf_key *a, const struct hf_key *b)
{
	int order =
		memcmp((const char *)a + sizeof(a->prefixlen),
		       (const char *)b + sizeof(b->prefixlen), sizeof(*a) - sizeof(a->prefixlen));

	return order ? order : (a->prefixlen > b->prefixlen) - (a->prefixlen < b->prefixlen);
}

static int compare_drafts(const void *left, const void *right)
{
	const struct draft *a = left, *b = right;
	int order = compare_keys(&a->entry.key, &b->entry.key);

	if (order || a->entry.key.kind != HF_KEY_PEER)
		return order;
	/* The same prefix: what was written beats what was looked up. */
	if (a->by_name != b->by_name)
		return a->by_name ? 1 : -1;
	return (a->entry.value.rule.index > b->entry.value.rule.index) -
	       (a->entry.value.rule.index < b->entry.value.rule.index);
}

int rules_compile(const struct config *config, uint32_t generation, struct rule_entry **entries,
		  size_t *n_entries, struct error *e)
{
	__attribute__((cleanup(drafts_free))) struct drafts drafts = {0};
	__attribute__((cleanup(pieces_free))) struct pieces client = {0};
	__attribute__((cleanup(pieces_free))) struct pieces server = {0};
	struct rule_entry *list;
	size_t i, n = 0;
	int err;

	err = compile_side(config, generation, HF_SIDE_CLIENT, &drafts, &client, e);
	if (!err)
		err = compile_side(config, generation, HF_SIDE_SERVER, &drafts, &server, e);
	if (!err)
		err = compile_ports((const struct pieces[2]){client, server}, &drafts, e);
	if (err)
		return err;

	if (drafts.n)
		qsort(drafts.list, drafts.n, sizeof(*drafts.list), compare_drafts);
	list = calloc(drafts.n + 1, sizeof(*list));
	if (!list)
		return out_of_memory(e);
	for (i = 0; i < drafts.n; i++) {
		if (n && !compare_keys(&list[n - 1].key, &drafts.list[i].entry.key))
			continue;
		list[n++] = drafts.list[i].entry;
	}
	*entries = list;
	*n_entries = n;
	return 0;
}
