// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/explain.h"

#include "base/text.h"
#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define DEFAULT_PORT RULE_DEFAULT_PORT

#define QUOTE(text) text_quote((char[TEXT_QUOTE_MAX]){0}, (text), strlen(text))

static int parse_port(const char *text, uint16_t *port, struct error *e)
{
	unsigned long number;

	if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 9)
		return error_set(e, EINVAL, "\"%s\" is no port (write 1 to 65535)", QUOTE(text));
	number = strtoul(text, NULL, 10);
	if (number < 1 || number > 65535)
		return error_set(e, EINVAL, "port %s is out of range (write 1 to 65535)",
				 QUOTE(text));
	*port = (uint16_t)number;
	return 0;
}

/* Cuts "ADDRESS:PORT" or "[ADDRESS]:PORT" in two, in place. *port is NULL if there is none. */
static int split(char *text, char **address, char **port, struct error *e)
{
	char *end, *colon;

	*address = text;
	*port = NULL;
	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':') || !strchr(text, ':') ||
		    strchr(text, ':') > end)
			return error_set(e, EINVAL,
					 "\"%s\" is no address (write [2001:db8::1]:3306)",
					 QUOTE(text));
		*end = '\0';
		*address = text + 1;
		*port = end[1] ? end + 2 : NULL;
		return 0;
	}
	colon = strchr(text, ':');
	if (colon && !strchr(colon + 1, ':')) {
		*colon = '\0';
		*port = colon + 1;
	}
	return 0;
}

int explain_parse(const char *text, struct hf_flow *flow, struct error *e)
{
	char copy[INET6_ADDRSTRLEN + 16], *address, *port;
	int err;

	memset(flow, 0, sizeof(*flow));
	flow->opener = HF_OPENER_US;
	flow->peer_port = DEFAULT_PORT;
	if (strlen(text) >= sizeof(copy))
		return error_set(e, EINVAL, "\"%s\" is too long for an address", QUOTE(text));
	strcpy(copy, text);
	err = split(copy, &address, &port, e);
	if (err)
		return err;
	if (inet_pton(AF_INET, address, flow->peer) == 1)
		flow->family = 4;
	else if (inet_pton(AF_INET6, address, flow->peer) == 1)
		flow->family = 6;
	else if (strchr(address, '%'))
		return error_set(e, EINVAL,
				 "\"%s\" has a scope, which rules don't know (write the address "
				 "without %%...)",
				 QUOTE(text));
	else
		return error_set(e, EINVAL,
				 "\"%s\" is no address (write ADDRESS, IPV4:PORT or "
				 "[IPV6]:PORT)",
				 QUOTE(text));
	hf_flow_unmap(flow);
	return port ? parse_port(port, &flow->peer_port, e) : 0;
}

/* Returns whether p fits better than the prefix found by now: p is longer, or as long and was
 * written as an address while the other is that of a host name. */
static bool fits_better(const struct explain_rule *found, const struct prefix *p, bool by_name)
{
	if (!found->destination || p->len != found->prefix.len)
		return !found->destination || p->len > found->prefix.len;
	return !by_name && found->destination->kind == DESTINATION_NAME;
}

/* Finds the destination of a rule that fits the address best. Returns false if none does. */
static bool find_destination(const struct rule *rule, const struct hf_flow *flow,
			     struct explain_rule *found)
{
	const struct prefix everything = {.family = flow->family};
	const struct prefix *list = NULL;
	size_t i, j, n = 0;

	*found = (struct explain_rule){.rule = rule};
	for (i = 0; i < rule->n_destinations; i++) {
		const struct destination *d = &rule->destinations[i];

		switch (d->kind) {
		case DESTINATION_ANY:
			list = &everything;
			n = 1;
			break;
		case DESTINATION_PREFIX:
			list = &d->prefix;
			n = 1;
			break;
		case DESTINATION_NAME:
			list = d->resolved;
			n = d->n_resolved;
			break;
		}
		for (j = 0; j < n; j++) {
			struct prefix p = list[j];

			prefix_unmap(&p);
			if (!prefix_contains(&p, flow->family, flow->peer) ||
			    !fits_better(found, &p, d->kind == DESTINATION_NAME))
				continue;
			found->destination = d;
			found->prefix = p;
		}
	}
	return found->destination != NULL;
}

static bool has_port(const struct rule *rule, uint16_t port)
{
	size_t i;

	for (i = 0; i < rule->n_ports; i++) {
		if (port >= rule->ports[i].first && port <= rule->ports[i].last)
			return true;
	}
	return false;
}

static enum explain_fate judge(const struct explain_rule *entry, const struct explain_rule *winner,
			       const struct hf_flow *flow)
{
	if (entry->rule->side == RULE_SIDE_SERVER)
		return EXPLAIN_SIDE;
	if (!has_port(entry->rule, flow->peer_port))
		return EXPLAIN_PORT;
	if (!winner)
		return EXPLAIN_PASSED;
	if (entry->rule == winner->rule)
		return EXPLAIN_WINS;
	if (entry->prefix.len < winner->prefix.len)
		return EXPLAIN_SHORTER;
	return winner->destination->kind == DESTINATION_NAME ? EXPLAIN_LATER : EXPLAIN_BY_NAME;
}

static bool matches(enum explain_fate fate)
{
	return fate != EXPLAIN_SIDE && fate != EXPLAIN_PORT;
}

/* Orders the winner first, then rules that match, then the others; longer prefixes come first. */
static int compare(const void *left, const void *right)
{
	const struct explain_rule *a = left, *b = right;

	if ((a->fate == EXPLAIN_WINS) != (b->fate == EXPLAIN_WINS))
		return a->fate == EXPLAIN_WINS ? -1 : 1;
	if (matches(a->fate) != matches(b->fate))
		return matches(a->fate) ? -1 : 1;
	if (a->prefix.len != b->prefix.len)
		return b->prefix.len - a->prefix.len;
	return (a->rule > b->rule) - (a->rule < b->rule);
}

int explain(const struct config *config, const struct hf_flow *flow, size_t winner,
	    struct explanation *explanation, struct error *e)
{
	struct explain_rule best = {0}, *list;
	bool has_winner = winner != EXPLAIN_NONE;
	size_t i;

	if (has_winner &&
	    (winner >= config->n_rules || !find_destination(&config->rules[winner], flow, &best)))
		return error_set(e, EINVAL,
				 "the rule that matches is not in this configuration: the rules "
				 "have changed meanwhile");
	list = calloc(config->n_rules + 1, sizeof(*list));
	if (!list)
		return error_set(e, ENOMEM, "out of memory");
	*explanation = (struct explanation){
		.flow = *flow, .config = config, .list = list, .has_winner = has_winner};
	for (i = 0; i < config->n_rules; i++) {
		struct explain_rule *entry = &list[explanation->n];

		if (!find_destination(&config->rules[i], flow, entry))
			continue;
		entry->fate = judge(entry, has_winner ? &best : NULL, flow);
		explanation->n++;
		explanation->n_matching += matches(entry->fate);
	}
	if (explanation->n)
		qsort(list, explanation->n, sizeof(*list), compare);
	return 0;
}

void explanation_free(struct explanation *explanation)
{
	free(explanation->list);
	memset(explanation, 0, sizeof(*explanation));
}
