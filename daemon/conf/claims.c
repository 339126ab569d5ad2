// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finds rules that claim the same prefix, port and side. The claims are sorted, so that only rules
 * with a common destination are compared: their ports are marked as taken in a bitmap, one rule
 * after the other.
 */
#include "base/text.h"
#include "base/util.h"
#include "conf/parse.h"

#include <string.h>
#include <strings.h>

/* One destination of one rule, on one side. */
struct claim {
	enum hf_side side;
	struct prefix prefix; /* family 0: the destination is the host name */
	const char *name;
	size_t rule;	    /* index */
	size_t destination; /* index in the rule */
};

struct claims {
	struct claim *list;
	size_t n;
};

/* The ports that claims on one target have taken, one bit each. */
struct taken {
	uint64_t words[65536 / 64];
};

/* Returns the bits of one word that stand for ports of a range. */
static uint64_t range_bits(const struct port_range *range, unsigned word)
{
	unsigned low = word == range->first / 64 ? range->first % 64 : 0;
	unsigned high = word == range->last / 64 ? range->last % 64 : 63;

	return (~UINT64_C(0) << low) & (~UINT64_C(0) >> (63 - high));
}

/* Marks the ports of a rule as taken. Returns the first that was taken before, or 0. */
static unsigned claim_ports(struct taken *taken, const struct rule *rule)
{
	unsigned word, conflict = 0;
	uint64_t bits;
	size_t i;

	for (i = 0; i < rule->n_ports; i++) {
		for (word = rule->ports[i].first / 64; word <= rule->ports[i].last / 64; word++) {
			bits = range_bits(&rule->ports[i], word);
			if (!conflict && (taken->words[word] & bits))
				conflict = word * 64 +
					   (unsigned)__builtin_ctzll(taken->words[word] & bits);
			taken->words[word] |= bits;
		}
	}
	return conflict;
}

static bool has_port(const struct rule *rule, unsigned port)
{
	size_t i;

	for (i = 0; i < rule->n_ports; i++) {
		if (rule->ports[i].first <= port && port <= rule->ports[i].last)
			return true;
	}
	return false;
}

/* Compares host names without regard to case and to a last dot. */
static int compare_names(const char *a, const char *b)
{
	size_t a_size = strlen(a), b_size = strlen(b);
	int order;

	a_size -= a_size && a[a_size - 1] == '.';
	b_size -= b_size && b[b_size - 1] == '.';
	order = strncasecmp(a, b, a_size < b_size ? a_size : b_size);
	return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_targets(const struct claim *a, const struct claim *b)
{
	int order;

	if (a->side != b->side)
		return a->side < b->side ? -1 : 1;
	if (a->prefix.family != b->prefix.family)
		return a->prefix.family < b->prefix.family ? -1 : 1;
	if (!a->prefix.family)
		return compare_names(a->name, b->name);
	order = memcmp(a->prefix.addr, b->prefix.addr, sizeof(a->prefix.addr));
	return order ? order : a->prefix.len - b->prefix.len;
}

static int compare_claims(const void *left, const void *right)
{
	const struct claim *a = left, *b = right;
	int order = compare_targets(a, b);

	if (order)
		return order;
	if (a->rule != b->rule)
		return a->rule < b->rule ? -1 : 1;
	return (a->destination > b->destination) - (a->destination < b->destination);
}

static void add_claim(struct claims *claims, const struct rule *rule, struct claim claim)
{
	int side;

	for (side = HF_SIDE_CLIENT; side <= HF_SIDE_SERVER; side++) {
		if (rule->side == (side == HF_SIDE_CLIENT ? RULE_SIDE_SERVER : RULE_SIDE_CLIENT))
			continue;
		claim.side = (enum hf_side)side;
		claims->list[claims->n++] = claim;
	}
}

static void add_rule(struct claims *claims, const struct rule *rule, size_t index)
{
	size_t i;

	for (i = 0; i < rule->n_destinations; i++) {
		const struct destination *destination = &rule->destinations[i];
		struct claim claim = {.rule = index, .destination = i};

		switch (destination->kind) {
		case DESTINATION_ANY:
			claim.prefix.family = 4;
			add_claim(claims, rule, claim);
			claim.prefix.family = 6;
			break;
		case DESTINATION_PREFIX:
			claim.prefix = destination->prefix;
			break;
		case DESTINATION_NAME:
			claim.name = destination->name;
			break;
		}
		add_claim(claims, rule, claim);
	}
}

static void report(struct conf_parser *parser, const struct config *config,
		   const struct claim *claim, size_t first, unsigned port)
{
	const struct rule *later = &config->rules[claim->rule];
	const struct conf_section *a = &parser->rules[first], *b = &parser->rules[claim->rule];
	const struct rule *earlier = &config->rules[first];
	char text[PREFIX_TEXT_MAX], mine[TEXT_QUOTE_MAX], other[TEXT_QUOTE_MAX];
	const char *destination, *side;
	char shown[TEXT_QUOTE_MAX];

	destination = destination_text(&later->destinations[claim->destination], text);
	/* Where both rules have both sides, name both: the claims of each side then give the same
	 * message, which is shown once. */
	side = earlier->side == RULE_SIDE_BOTH && later->side == RULE_SIDE_BOTH ? "both"
	       : claim->side == HF_SIDE_CLIENT					? "client"
										: "server";
	conf_error(parser, b->at[CONF_DESTINATION],
		   "rule \"%s\" claims %s, port %u, side %s, which rule \"%s\" at %s:%u claims too "
		   "(write it in one of them only)",
		   text_quote(mine, b->title, strlen(b->title)),
		   text_quote(shown, destination, strlen(destination)), port, side,
		   text_quote(other, a->title, strlen(a->title)), parser->files[a->place.file],
		   a->place.line);
}

/* Checks the claims on one target, which are in the order of rules. */
static void check_group(struct conf_parser *parser, const struct config *config,
			const struct claim *claims, size_t n)
{
	struct taken taken = {0};
	unsigned conflict;
	size_t i, first;

	for (i = 0; i < n; i++) {
		/* One rule may name a destination twice. */
		if (i && claims[i].rule == claims[i - 1].rule)
			continue;
		conflict = claim_ports(&taken, &config->rules[claims[i].rule]);
		if (!conflict)
			continue;
		for (first = 0; !has_port(&config->rules[claims[first].rule], conflict); first++)
			;
		report(parser, config, &claims[i], claims[first].rule, conflict);
	}
}

static bool ports_and_side_sound(const struct conf_parser *parser,
				 const struct conf_section *section, enum conf_key key)
{
	const struct conf_section *from = section->given[key] ? section : &parser->defaults;

	return !from->given[key] || !from->bad[key];
}

void conf_check_claims(struct conf_parser *parser, const struct config *config)
{
	_cleanup_free_ struct claim *list = NULL;
	struct claims claims = {0};
	size_t i, end, room = 0;

	for (i = 0; i < config->n_rules; i++)
		room += 4 * config->rules[i].n_destinations; /* `any` on both sides */
	list = calloc(room + 1, sizeof(*list));
	if (!list) {
		parser->out_of_memory = true;
		return;
	}
	claims.list = list;
	for (i = 0; i < config->n_rules; i++) {
		if (ports_and_side_sound(parser, &parser->rules[i], CONF_PORT) &&
		    ports_and_side_sound(parser, &parser->rules[i], CONF_SIDE))
			add_rule(&claims, &config->rules[i], i);
	}
	if (claims.n)
		qsort(list, claims.n, sizeof(*list), compare_claims);
	for (i = 0; i < claims.n; i = end) {
		for (end = i + 1; end < claims.n && !compare_targets(&list[i], &list[end]); end++)
			;
		if (list[i].rule != list[end - 1].rule)
			check_group(parser, config, &list[i], end - i);
	}
}
