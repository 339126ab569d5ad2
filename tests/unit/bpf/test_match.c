// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Compares the matcher with a naive reference, over many random rule sets. The reference follows
 * the manual's description of struct config, without keys, classes and tries. HF_SEED=N repeats a
 * run, HF_ROUNDS=N makes it longer. The file is long because it has the matcher a second time, and
 * what makes rule sets.
 */
#include "unit.h"

#include "base/util.h"
#include "rules/lpm.h"

#include <arpa/inet.h>

struct random {
	uint64_t state;
};

/* xorshift64* */
static uint32_t next(struct random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (uint32_t)((r->state * 0x2545f4914f6cdd1du) >> 32);
}

static uint32_t below(struct random *r, uint32_t limit)
{
	return next(r) % limit;
}

/* The reference. */

/* Returns bit i of an address, counted from the left. */
static unsigned bit(const uint8_t *addr, unsigned i)
{
	return addr[i / 8] >> (7 - i % 8) & 1;
}

/* Returns 1 + the length of the prefix if it contains the peer, else 0. */
static int prefix_worth(const struct prefix *prefix, unsigned family, const uint8_t *peer)
{
	unsigned i;

	if (prefix->family != family)
		return 0;
	for (i = 0; i < prefix->len; i++) {
		if (bit(prefix->addr, i) != bit(peer, i))
			return 0;
	}
	return 1 + prefix->len;
}

/* Returns the worth of a rule's best destination for a peer: twice that of its prefix, and 1 more
 * for a literal, which wins over a host name with a prefix of the same length. */
static int rule_worth(const struct rule *rule, unsigned family, const uint8_t *peer)
{
	int best = 0, worth = 0;
	size_t i, j;

	for (i = 0; i < rule->n_destinations; i++) {
		const struct destination *d = &rule->destinations[i];

		if (d->kind == DESTINATION_ANY) {
			worth = 2 * 1 + 1;
		} else if (d->kind == DESTINATION_PREFIX) {
			worth = prefix_worth(&d->prefix, family, peer);
			worth = worth ? 2 * worth + 1 : 0;
		} else {
			worth = 0;
			for (j = 0; j < d->n_resolved; j++) {
				int w = 2 * prefix_worth(&d->resolved[j], family, peer);

				worth = w > worth ? w : worth;
			}
		}
		best = worth > best ? worth : best;
	}
	return best;
}

static bool names_port(const struct rule *rule, unsigned port)
{
	size_t i;

	for (i = 0; i < rule->n_ports; i++) {
		if (port >= rule->ports[i].first && port <= rule->ports[i].last)
			return true;
	}
	return false;
}

/* Returns the index of the rule that a connection gets on one side, or -1. */
static int reference_side(const struct config *config, bool server, unsigned family,
			  const uint8_t *peer, unsigned port, int *worth)
{
	int found = -1, w;
	size_t i;

	*worth = 0;
	for (i = 0; i < config->n_rules; i++) {
		const struct rule *rule = &config->rules[i];

		if (rule->side != RULE_SIDE_BOTH && (rule->side == RULE_SIDE_SERVER) != server)
			continue;
		if (!names_port(rule, port))
			continue;
		w = rule_worth(rule, family, peer);
		if (w > *worth) {
			*worth = w;
			found = (int)i;
		}
	}
	return found;
}

static int reference(const struct config *config, enum hf_opener opener, unsigned family,
		     const uint8_t *address, unsigned peer_port, unsigned local_port, bool *server)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	int client_rule, server_rule, client_worth, server_worth;
	uint8_t peer[16];

	memcpy(peer, address, 16);
	if (family == 6 && !memcmp(peer, mapped, 12)) {
		family = 4;
		memcpy(peer, address + 12, 4);
	}
	client_rule = reference_side(config, false, family, peer, peer_port, &client_worth);
	server_rule = reference_side(config, true, family, peer, local_port, &server_worth);
	/* "`client` (this host opened the connection...), `server` (the peer opened it...)" */
	if (opener == HF_OPENER_US)
		server_rule = -1;
	if (opener == HF_OPENER_PEER)
		client_rule = -1;
	/* Between the sides only the prefix lengths count. */
	*server = server_rule >= 0 && (client_rule < 0 || server_worth / 2 > client_worth / 2);
	return *server ? server_rule : client_rule;
}

/* Random configurations. */

/* Makes an address of few different bytes, so that prefixes nest and coincide. */
static void random_address(struct random *r, uint8_t family, uint8_t addr[16])
{
	static const uint8_t bytes[] = {0, 1, 0x0a, 0x80, 0xff};
	unsigned i, n = family == 4 ? 4 : 16;

	memset(addr, 0, 16);
	for (i = 0; i < n; i++) {
		/* IPv6 addresses differ at both ends, and have zeros between them. */
		if (n == 4 || i < 2 || i > 13)
			addr[i] = bytes[below(r, ARRAY_SIZE(bytes))];
	}
	if (below(r, 4) == 0)
		addr[below(r, n)] ^= (uint8_t)(1u << below(r, 8));
}

static struct prefix random_prefix(struct random *r, bool whole)
{
	static const uint8_t lens4[] = {0, 1, 7, 8, 9, 15, 16, 23, 24, 25, 31, 32, 32};
	static const uint8_t lens6[] = {0, 1, 8, 15, 16, 17, 64, 95, 112, 113, 120, 127, 128};
	struct prefix p = {.family = below(r, 2) ? 4 : 6};
	unsigned i;

	random_address(r, p.family, p.addr);
	if (p.family == 4)
		p.len = whole ? 32 : lens4[below(r, ARRAY_SIZE(lens4))];
	else
		p.len = whole ? 128 : lens6[below(r, ARRAY_SIZE(lens6))];
	for (i = p.len; i < 128; i++)
		p.addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	return p;
}

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	assert_non_null(p);
	return p;
}

static uint16_t random_port(struct random *r)
{
	static const uint16_t ports[] = {1,    2,    3,	    1023,  1024, 3305,
					 3306, 3307, 32768, 65534, 65535};

	return below(r, 8) ? ports[below(r, ARRAY_SIZE(ports))] : (uint16_t)(1 + below(r, 65535));
}

/* Makes port ranges that are sorted and do not touch. */
static void random_ports(struct random *r, struct rule *rule)
{
	size_t i, n = 1 + below(r, 4), kept = 0;
	struct port_range range;

	rule->ports = allocate(n, sizeof(*rule->ports));
	for (i = 0; i < n; i++) {
		range.first = random_port(r);
		range.last = below(r, 2) ? range.first : random_port(r);
		if (range.last < range.first)
			range.last = range.first;
		if (below(r, 20) == 0)
			range = (struct port_range){1, 65535};
		if (kept && range.first <= rule->ports[kept - 1].last + 1)
			continue;
		rule->ports[kept++] = range;
	}
	rule->n_ports = kept;
}

static void random_destination(struct random *r, struct destination *d)
{
	size_t i;

	switch (below(r, 8)) {
	case 0:
		d->kind = DESTINATION_ANY;
		break;
	case 1:
		d->kind = DESTINATION_NAME;
		d->name = strdup("db.internal");
		d->n_resolved = below(r, 4);
		d->resolved = d->n_resolved ? allocate(d->n_resolved, sizeof(*d->resolved)) : NULL;
		for (i = 0; i < d->n_resolved; i++)
			d->resolved[i] = random_prefix(r, true);
		break;
	default:
		d->kind = DESTINATION_PREFIX;
		d->prefix = random_prefix(r, false);
	}
}

/* Returns whether two rules claim the same, which the configuration reader refuses. */
static bool contradict(const struct rule *a, const struct rule *b)
{
	size_t i, j, k;
	int family;

	if (a->side != b->side && a->side != RULE_SIDE_BOTH && b->side != RULE_SIDE_BOTH)
		return false;
	for (i = 0; i < a->n_ports; i++) {
		for (j = 0; j < b->n_ports; j++) {
			if (a->ports[i].first <= b->ports[j].last &&
			    b->ports[j].first <= a->ports[i].last)
				goto port_in_common;
		}
	}
	return false;
port_in_common:
	for (i = 0; i < a->n_destinations; i++) {
		for (j = 0; j < b->n_destinations; j++) {
			for (family = 4; family <= 6; family += 2) {
				const struct destination *d[2] = {&a->destinations[i],
								  &b->destinations[j]};
				struct prefix p[2];

				for (k = 0; k < 2; k++) {
					p[k] = (struct prefix){.family = (uint8_t)family};
					if (d[k]->kind == DESTINATION_PREFIX)
						p[k] = d[k]->prefix;
				}
				if (d[0]->kind != DESTINATION_NAME &&
				    d[1]->kind != DESTINATION_NAME &&
				    !memcmp(&p[0], &p[1], sizeof(p[0])))
					return true;
			}
		}
	}
	return false;
}

static void random_config(struct random *r, struct config *config)
{
	size_t i, j, n = below(r, 12);
	struct rule *rule;

	memset(config, 0, sizeof(*config));
	config->rules = allocate(n + 1, sizeof(*config->rules));
	while (config->n_rules < n) {
		rule = &config->rules[config->n_rules];
		rule->side = (enum rule_side)below(r, 3);
		rule->n_destinations = 1 + below(r, 4);
		rule->destinations = allocate(rule->n_destinations, sizeof(*rule->destinations));
		for (i = 0; i < rule->n_destinations; i++)
			random_destination(r, &rule->destinations[i]);
		random_ports(r, rule);
		rule->time_s = (uint16_t)(1 + config->n_rules);
		rule->enforce = below(r, 2);

		for (j = 0; j < config->n_rules && !contradict(&config->rules[j], rule); j++)
			;
		if (j < config->n_rules) {
			rule_free(rule);
			n -= below(r, 2); /* there may be no rule left that fits */
		} else {
			config->n_rules++;
		}
	}
}

/* Makes an address that one of the rules is likely to have. */
static void random_peer(struct random *r, const struct config *config, struct hf_flow *flow)
{
	const struct rule *rule;
	const struct destination *d;
	struct prefix p;
	unsigned i;

	p = random_prefix(r, true);
	if (config->n_rules && below(r, 3)) {
		rule = &config->rules[below(r, (uint32_t)config->n_rules)];
		d = &rule->destinations[below(r, (uint32_t)rule->n_destinations)];
		if (d->kind == DESTINATION_PREFIX)
			p = d->prefix;
		else if (d->kind == DESTINATION_NAME && d->n_resolved)
			p = d->resolved[below(r, (uint32_t)d->n_resolved)];
		/* The address is inside the prefix, sometimes just outside. */
		for (i = p.len; i < (p.family == 4 ? 32u : 128u); i++)
			p.addr[i / 8] ^= (uint8_t)((below(r, 2) * 0x80) >> i % 8);
		if (p.len && below(r, 8) == 0)
			p.addr[(p.len - 1) / 8] ^= (uint8_t)(0x80 >> (p.len - 1) % 8);
	}
	memset(flow, 0, sizeof(*flow));
	flow->family = p.family;
	memcpy(flow->peer, p.addr, 16);
	if (p.family == 4 && below(r, 3) == 0) {
		memset(flow->peer, 0, 10);
		memset(flow->peer + 10, 0xff, 2);
		memcpy(flow->peer + 12, p.addr, 4);
		flow->family = 6;
		if (below(r, 4) == 0) /* nearly IPv4-mapped: an ordinary IPv6 address */
			flow->peer[below(r, 12)] ^= (uint8_t)(1u << below(r, 8));
	}
}

static uint16_t port_at_edge(struct random *r, const struct config *config)
{
	const struct rule *rule;
	const struct port_range *range;
	uint32_t port;

	if (!config->n_rules || below(r, 4) == 0)
		return (uint16_t)below(r, 65536);
	rule = &config->rules[below(r, (uint32_t)config->n_rules)];
	range = &rule->ports[below(r, (uint32_t)rule->n_ports)];
	port = below(r, 2) ? range->first : range->last;
	return (uint16_t)(port + below(r, 3) - 1);
}

static void check_entries(const struct rule_entry *entries, size_t n)
{
	size_t i;

	for (i = 1; i < n; i++) {
		int order = memcmp(&entries[i - 1].key.kind, &entries[i].key.kind,
				   sizeof(struct hf_key) - sizeof(uint32_t));

		assert_true(order < 0 || (order == 0 &&
					  entries[i - 1].key.prefixlen < entries[i].key.prefixlen));
	}
}

static void compare(const struct config *config, const struct lpm *lpm, const struct hf_flow *as_is)
{
	enum hf_side side = HF_SIDE_CLIENT;
	const struct hf_rule *rule;
	struct hf_flow flow = *as_is;
	bool server = false;
	char text[64];
	int want, got;

	want = reference(config, flow.opener, flow.family, flow.peer, flow.peer_port,
			 flow.local_port, &server);
	hf_flow_unmap(&flow);
	rule = lpm_match(lpm, &flow, &side);
	got = rule ? (int)rule->index : -1;
	if (got != want || (rule && (side == HF_SIDE_SERVER) != server)) {
		inet_ntop(as_is->family == 4 ? AF_INET : AF_INET6, as_is->peer, text, sizeof(text));
		fail_msg("peer %s port %u, local port %u: rule %d on side %d, should be %d on %d",
			 text, as_is->peer_port, as_is->local_port, got, side, want, server);
	}
	if (rule) {
		assert_int_equal(rule->generation, 7);
		assert_int_equal(rule->time_s, config->rules[got].time_s);
		assert_int_equal(!!(rule->flags & HF_RULE_ENFORCE), config->rules[got].enforce);
	}
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_random(void **state)
{
	uint64_t seed = number_from("HF_SEED", 20261122), rounds = number_from("HF_ROUNDS", 3000);
	uint64_t round, matched = 0, flows = 0;
	struct rule_entry *entries;
	struct config config;
	struct random r;
	struct lpm *lpm;
	size_t n, i;

	(void)state;
	print_message("HF_SEED=%llu HF_ROUNDS=%llu\n", (unsigned long long)seed,
		      (unsigned long long)rounds);
	for (round = 0; round < rounds; round++) {
		struct error e = {0};

		r.state = (seed + round) * 0x9e3779b97f4a7c15u | 1;
		random_config(&r, &config);
		assert_int_equal(rules_compile(&config, 7, &entries, &n, &e), 0);
		check_entries(entries, n);
		lpm = lpm_new(entries, n);
		assert_non_null(lpm);
		for (i = 0; i < 100; i++) {
			struct hf_flow flow;
			bool server;

			random_peer(&r, &config, &flow);
			flow.peer_port = port_at_edge(&r, &config);
			flow.local_port = port_at_edge(&r, &config);
			flow.opener = (uint8_t)below(&r, 3);
			compare(&config, lpm, &flow);
			flows++;
			matched += reference(&config, flow.opener, flow.family, flow.peer,
					     flow.peer_port, flow.local_port, &server) >= 0;
		}
		lpm_free(lpm);
		free(entries);
		config_free(&config);
	}
	/* If nearly all or nearly no flows matched, the test would prove nothing. */
	print_message("%llu of %llu flows had a rule\n", (unsigned long long)matched,
		      (unsigned long long)flows);
	assert_in_range(matched, flows / 4, flows * 9 / 10);
}

/* Only ::ffff:0:0/96 is IPv4-mapped: with one bit changed, an address stays IPv6. */
static void test_mapped(void **state)
{
	static const struct hf_flow mapped = {
		.family = 6, .peer = {[10] = 0xff, 0xff, 10, 20, 0, 8}, .peer_port = 3306};
	static const uint8_t plain[16] = {10, 20, 0, 8};
	struct hf_flow flow = mapped, before;
	unsigned i;

	(void)state;
	hf_flow_unmap(&flow);
	assert_int_equal(flow.family, 4);
	assert_memory_equal(flow.peer, plain, sizeof(plain));
	assert_int_equal(flow.peer_port, 3306);
	hf_flow_unmap(&flow);
	assert_int_equal(flow.family, 4);
	assert_memory_equal(flow.peer, plain, sizeof(plain));
	for (i = 0; i < 96; i++) {
		flow = mapped;
		flow.peer[i / 8] ^= (uint8_t)(1u << i % 8);
		before = flow;
		hf_flow_unmap(&flow);
		assert_memory_equal(&flow, &before, sizeof(flow));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
