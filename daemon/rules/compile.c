// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Compiles rules to trie entries. Each side's ports are sorted into classes first (port_classes.h),
 * and each rule of a class adds its destinations as peer keys with that class. Then the pieces of
 * both sides are combined, and are cut into port prefixes that never overlap. A port has therefore
 * only one key, and the longest match doesn't depend on shorter ones.
 */
#include "base/util.h"
#include "bpf/match.h"
#include "rules/port_classes.h"
#include "rules/rules.h"

#include <errno.h>
#include <string.h>

/* Limits the trie: a node takes about 100 bytes in the kernel. */
#define ENTRIES_MAX (1u << 20)

#define PORT_END 65536u

/* An entry that may have duplicates: of those with the same key, the first in the order of
 * compare_drafts() is kept. */
struct draft {
	struct rule_entry entry;
	bool by_name; /* from an address of a host name */
};

struct drafts {
	struct draft *list;
	size_t n, room;
};

static void drafts_free(struct drafts *drafts)
{
	free(drafts->list);
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

/* Adds all destinations of a rule as peer keys of a class. */
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

/* The argument of add_class(): one side, and where its entries go. */
struct side {
	const struct config *config;
	enum hf_side side;
	uint32_t generation;
	struct drafts *drafts;
	struct error *e;
};

static int add_class(uint32_t class_, const size_t *rules, size_t n, void *arg)
{
	const struct side *side = arg;
	size_t i;
	int err;

	for (i = 0; i < n; i++) {
		struct hf_rule value = {.index = (uint32_t)rules[i],
					.generation = side->generation};

		err = add_peers(side->drafts, &side->config->rules[rules[i]], value, side->side,
				class_, side->e);
		if (err)
			return err;
	}
	return 0;
}

static int compile_side(struct side side, struct port_classes *classes)
{
	int err = port_classes_find(side.config, side.side, classes, add_class, &side);

	return err == -ENOMEM ? out_of_memory(side.e) : err;
}

/* Adds keys for the ports first to last, none of which overlap. */
static int add_ports(struct drafts *drafts, uint32_t first, uint32_t last, struct hf_ports classes,
		     struct error *e)
{
	struct draft *draft;
	uint32_t size;
	int err = 0;

	while (first <= last) {
		/* The largest aligned block that begins at first and ends at or before last. */
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

/* Combines the pieces of both sides, and adds the port keys with the classes of both. */
static int compile_ports(const struct port_classes sides[2], struct drafts *drafts, struct error *e)
{
	struct hf_ports classes = {0};
	size_t at[2] = {0};
	uint32_t first = 1, next;
	int err, side;

	while (first < PORT_END) {
		next = PORT_END;
		for (side = 0; side < 2; side++) {
			const struct port_classes *pieces = &sides[side];

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
	/* A literal prefix comes before an equal one from a host name. */
	if (a->by_name != b->by_name)
		return a->by_name ? 1 : -1;
	return (a->entry.value.rule.index > b->entry.value.rule.index) -
	       (a->entry.value.rule.index < b->entry.value.rule.index);
}

int rules_compile(const struct config *config, uint32_t generation, struct rule_entry **entries,
		  size_t *n_entries, struct error *e)
{
	__attribute__((cleanup(drafts_free))) struct drafts drafts = {0};
	__attribute__((cleanup(port_classes_free))) struct port_classes client = {0};
	__attribute__((cleanup(port_classes_free))) struct port_classes server = {0};
	struct rule_entry *list;
	size_t i, n = 0;
	int err;

	err = compile_side((struct side){config, HF_SIDE_CLIENT, generation, &drafts, e}, &client);
	if (!err)
		err = compile_side((struct side){config, HF_SIDE_SERVER, generation, &drafts, e},
				   &server);
	if (!err)
		err = compile_ports((const struct port_classes[2]){client, server}, &drafts, e);
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
