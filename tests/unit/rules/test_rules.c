// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests prefixes and the compiled trie entries. */
#include "unit.h"

#include "base/util.h"
#include "conf/conf.h"
#include "rules/lpm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <json-c/json.h>
#include <time.h>

/* A compiled configuration, ready for look-ups. */
struct compiled {
	struct config config;
	struct rule_entry *entries;
	size_t n;
	struct lpm *lpm;
};

static void compile(struct compiled *c, const char *text)
{
	struct conf_messages messages;
	struct error e = {0};

	assert_int_equal(conf_parse_text("t", text, strlen(text), &c->config, &messages), 0);
	conf_messages_free(&messages);
	assert_int_equal(rules_compile(&c->config, 3, &c->entries, &c->n, &e), 0);
	c->lpm = lpm_new(c->entries, c->n);
	assert_non_null(c->lpm);
}

static void compiled_free(struct compiled *c)
{
	lpm_free(c->lpm);
	free(c->entries);
	config_free(&c->config);
}

/* Returns the name of the rule that matches a connection, and sets *side to the side that
 * matched. */
static const char *ask(const struct compiled *c, const char *peer, uint16_t peer_port,
		       uint16_t local_port, enum hf_side *side)
{
	struct hf_flow flow = {.family = 6, .peer_port = peer_port, .local_port = local_port};
	const struct hf_rule *rule;

	if (inet_pton(AF_INET6, peer, flow.peer) != 1) {
		flow.family = 4;
		assert_int_equal(inet_pton(AF_INET, peer, flow.peer), 1);
	}
	hf_flow_unmap(&flow);
	rule = lpm_match(c->lpm, &flow, side);
	return rule ? c->config.rules[rule->index].name : "none";
}

#define CLIENT(c, peer, port) ask((c), (peer), (port), 40000, &(enum hf_side){0})

static void test_example(void **state)
{
	enum hf_side side;
	struct compiled c;

	(void)state;
	compile(&c, "[rule everywhere]\ndestination = any\n"
		    "[rule orders]\ndestination = 10.20.0.0/16, 2001:db8::/32\n"
		    "port = 3306, 33060-33062\nuser-timeout = 20min\n"
		    "[rule lab]\ndestination = 10.20.99.0/24\nenforce = no\n"
		    "[rule serve]\ndestination = 10.20.0.0/16\nside = server\nport = 3306\n"
		    "[rule near]\ndestination = 10.20.5.0/24\nside = both\nport = 7\n");
	assert_string_equal(CLIENT(&c, "1.2.3.4", 3306), "everywhere");
	assert_string_equal(CLIENT(&c, "1.2.3.4", 3307), "none");
	assert_string_equal(CLIENT(&c, "::1", 3306), "everywhere");
	assert_string_equal(CLIENT(&c, "10.20.0.8", 3306), "orders");
	assert_string_equal(CLIENT(&c, "::ffff:10.20.0.8", 33061), "orders");
	assert_string_equal(CLIENT(&c, "10.20.0.8", 33063), "none");
	assert_string_equal(CLIENT(&c, "10.21.0.8", 33061), "none");
	assert_string_equal(CLIENT(&c, "2001:db8:1::5", 33062), "orders");
	assert_string_equal(CLIENT(&c, "10.20.99.1", 3306), "lab");
	/* lab has only port 3306. */
	assert_string_equal(CLIENT(&c, "10.20.99.1", 33060), "orders");

	/* The side with the longer prefix wins; the client side if they are equal. */
	assert_string_equal(ask(&c, "10.20.0.8", 5, 3306, &side), "serve");
	assert_int_equal(side, HF_SIDE_SERVER);
	assert_string_equal(ask(&c, "10.20.0.8", 3306, 3306, &side), "orders");
	assert_int_equal(side, HF_SIDE_CLIENT);
	assert_string_equal(ask(&c, "10.20.5.8", 3306, 7, &side), "near");
	assert_int_equal(side, HF_SIDE_SERVER);
	assert_string_equal(ask(&c, "10.20.5.8", 7, 3306, &side), "near");
	assert_int_equal(side, HF_SIDE_CLIENT);
	assert_string_equal(ask(&c, "10.20.0.8", 0, 0, &side), "none");
	compiled_free(&c);
}

/* The value has everything that the kernel needs to know of a rule. */
static void test_values(void **state)
{
	struct hf_flow flow = {.family = 4, .peer_port = 9, .peer = {10, 1, 2, 3}};
	const struct hf_rule *rule;
	struct compiled c;
	enum hf_side side;

	(void)state;
	compile(&c, "[rule x]\ndestination = ::1\n"
		    "[rule a]\ndestination = 10.1.0.0/17\nport = 9\nwindow = 1h\ntime = 111\n"
		    "interval = 22\nprobes = 33\nuser-timeout = 444444ms\noverride = always\n"
		    "[rule b]\ndestination = 10.2.0.0/16\nport = 9\nenforce = no\n"
		    "override = never\n");
	rule = lpm_match(c.lpm, &flow, &side);
	assert_non_null(rule);
	assert_int_equal(rule->index, 1);
	assert_int_equal(rule->generation, 3);
	assert_int_equal(rule->user_timeout_ms, 444444);
	assert_int_equal(rule->time_s, 111);
	assert_int_equal(rule->interval_s, 22);
	assert_int_equal(rule->probes, 33);
	assert_int_equal(rule->override, HF_OVERRIDE_ALWAYS);
	assert_int_equal(rule->flags, HF_RULE_ENFORCE);
	assert_int_equal(rule->prefix_len, 17);
	flow.peer[1] = 2;
	rule = lpm_match(c.lpm, &flow, &side);
	assert_non_null(rule);
	assert_int_equal(rule->index, 2);
	assert_int_equal(rule->user_timeout_ms, 0);
	assert_int_equal(rule->flags, 0);
	assert_int_equal(rule->override, HF_OVERRIDE_NEVER);
	compiled_free(&c);
}

static void resolve(struct config *config, size_t rule, const char *address)
{
	struct destination *d = &config->rules[rule].destinations[0];
	struct prefix *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(d->kind, DESTINATION_NAME);
	p->family = 6;
	p->len = 128;
	if (inet_pton(AF_INET6, address, p->addr) != 1) {
		p->family = 4;
		p->len = 32;
		assert_int_equal(inet_pton(AF_INET, address, p->addr), 1);
	}
	free(d->resolved);
	d->resolved = p;
	d->n_resolved = 1;
}

/* A literal address wins over that of a host name, and of two names the earlier rule wins. */
static void test_names(void **state)
{
	struct compiled c;

	(void)state;
	compile(&c, "[rule first]\ndestination = a.x\n"
		    "[rule second]\ndestination = b.x\n"
		    "[rule literal]\ndestination = 10.0.0.1, 10.0.0.0/24\n");
	assert_string_equal(CLIENT(&c, "10.0.0.2", 3306), "literal");
	resolve(&c.config, 0, "10.0.0.2");
	resolve(&c.config, 1, "::ffff:10.0.0.2");
	lpm_free(c.lpm);
	free(c.entries);
	assert_int_equal(rules_compile(&c.config, 3, &c.entries, &c.n, NULL), 0);
	c.lpm = lpm_new(c.entries, c.n);
	assert_string_equal(CLIENT(&c, "10.0.0.2", 3306), "first");
	assert_string_equal(CLIENT(&c, "10.0.0.3", 3306), "literal");

	resolve(&c.config, 0, "10.0.0.1");
	lpm_free(c.lpm);
	free(c.entries);
	assert_int_equal(rules_compile(&c.config, 3, &c.entries, &c.n, NULL), 0);
	c.lpm = lpm_new(c.entries, c.n);
	assert_string_equal(CLIENT(&c, "10.0.0.1", 3306), "literal");
	assert_string_equal(CLIENT(&c, "10.0.0.2", 3306), "second");
	compiled_free(&c);
}

/* Host names without an address are found in any rule, at any place, and no others. */
static void test_unresolved(void **state)
{
	static const char *const expected[] = {"a.x", "c.x", "d.x"};
	struct host_name name = {0};
	struct compiled c;
	size_t i;

	(void)state;
	compile(&c, "[rule first]\ndestination = a.x, 10.0.0.1\n"
		    "[rule literal]\ndestination = 10.0.0.2, any\n"
		    "[rule second]\ndestination = b.x\n"
		    "[rule third]\ndestination = 10.0.0.3, c.x, d.x\n");
	resolve(&c.config, 2, "10.0.0.2");
	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_true(config_next_unresolved(&c.config, &name));
		assert_string_equal(name.destination->name, expected[i]);
		assert_string_equal(name.rule->name, i ? "third" : "first");
	}
	assert_false(config_next_unresolved(&c.config, &name));
	compiled_free(&c);
}

/* Compiled rules take no more entries than expected. */
static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		size_t most;
	} cases[] = {
		{"[daemon]\n", 0},
		{"[rule a]\ndestination = any\n", 3},
		{"[rule a]\ndestination = any\nport = 1-65535\n", 16 + 2},
		{"[rule a]\ndestination = any\nport = 1-65535\nside = both\n", 16 + 4},
		{"[rule a]\ndestination = any\nport = 2-65534\n", 30 + 2},
		{"[rule a]\ndestination = any\nport = 1-65535\n[rule b]\ndestination = ::1\n", 40},
		{"[rule a]\ndestination = any, 10.0.0.0/8\nport = 1, 3, 5, 7, 9\n", 5 + 3},
	};
	struct compiled c;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		compile(&c, cases[i].text);
		print_message("%zu entries\n", c.n);
		assert_in_range(c.n, 0, cases[i].most);
		compiled_free(&c);
	}
}

/* Each port from 1 to 65535 is covered by exactly one port key. */
static void test_ports_once(void **state)
{
	_cleanup_free_ uint8_t *seen = calloc(65536, 1);
	struct compiled c;
	size_t i, port, size;

	(void)state;
	assert_non_null(seen);
	compile(&c, "[rule a]\ndestination = any\nport = 5-70, 100-65535\n"
		    "[rule b]\ndestination = ::1\nport = 3306, 1-33\nside = both\n"
		    "[rule c]\ndestination = ::2\nport = 50-1000\nside = server\n");
	for (i = 0; i < c.n; i++) {
		const struct hf_key *key = &c.entries[i].key;

		if (key->kind != HF_KEY_PORT)
			continue;
		size = (size_t)1 << (HF_KEY_PORT_BITS + 16 - key->prefixlen);
		port = (size_t)key->port[0] << 8 | key->port[1];
		assert_int_equal(port % size, 0);
		while (size--)
			seen[port + size]++;
	}
	for (port = 0; port < 65536; port++)
		assert_int_equal(seen[port], port >= 1);
	compiled_free(&c);
}

/* The same configuration compiles to the same bytes. */
static void test_deterministic(void **state)
{
	static const char text[] = "[rule a]\ndestination = any, a.x\nport = 1-100\nside = both\n"
				   "[rule b]\ndestination = 10.0.0.0/8\nport = 50-200\n"
				   "[rule c]\ndestination = 10.0.0.0/9\nport = 50, 60, 70\n";
	struct compiled a, b;

	(void)state;
	compile(&a, text);
	compile(&b, text);
	assert_int_equal(a.n, b.n);
	assert_memory_equal(a.entries, b.entries, a.n * sizeof(*a.entries));
	compiled_free(&a);
	compiled_free(&b);
}

static void test_many(void **state)
{
	const size_t n = 10000;
	_cleanup_free_ char *text = malloc(120 * n);
	clock_t start = clock();
	struct compiled c;
	size_t used = 0, i;
	char peer[32], name[32];

	(void)state;
	assert_non_null(text);
	/* Each rule has its own prefix, and its own port beside the common one. */
	for (i = 0; i < n; i++)
		used += (size_t)sprintf(
			text + used,
			"[rule r%zu]\ndestination = 10.%zu.%zu.0/24\nport = 3306, %zu\n", i,
			i / 256, i % 256, 10000 + i);
	compile(&c, text);
	assert_int_equal(c.n, 3 * n + 1);
	compiled_free(&c);

	for (used = 0, i = 0; i < n; i++)
		used += (size_t)sprintf(
			text + used, "[rule r%zu]\ndestination = 10.%zu.%zu.0/24\nport = 1-65535\n",
			i, i / 256, i % 256);
	compile(&c, text);
	assert_int_equal(c.n, n + 16);
	for (i = 0; i < n; i += 17) {
		snprintf(peer, sizeof(peer), "10.%zu.%zu.7", i / 256, i % 256);
		snprintf(name, sizeof(name), "r%zu", i);
		assert_string_equal(CLIENT(&c, peer, (uint16_t)(i + 1)), name);
	}
	compiled_free(&c);
	assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
}

/* More entries than a map should hold are an error, and don't use up the memory. */
static void test_too_many(void **state)
{
	const size_t n = 3000;
	_cleanup_free_ char *text = malloc(120 * n);
	struct conf_messages messages;
	struct rule_entry *entries = NULL;
	struct config config;
	struct error e = {0};
	size_t used = 0, i;

	(void)state;
	assert_non_null(text);
	for (i = 0; i < n; i++)
		used += (size_t)sprintf(
			text + used, "[rule r%zu]\ndestination = 10.%zu.%zu.0/24\nport = 1-%zu\n",
			i, i / 256, i % 256, 1 + i);
	assert_int_equal(conf_parse_text("t", text, used, &config, &messages), 0);
	conf_messages_free(&messages);
	assert_int_equal(rules_compile(&config, 1, &entries, &i, &e), -E2BIG);
	assert_null(entries);
	assert_non_null(strstr(e.text, "map entries"));
	config_free(&config);
}

static void test_prefix(void **state)
{
	static const struct {
		struct prefix prefix;
		const char *text;
	} cases[] = {
		{{4, 0, {0}}, "0.0.0.0/0"},
		{{4, 16, {10, 20}}, "10.20.0.0/16"},
		{{4, 32, {10, 20, 0, 8}}, "10.20.0.8"},
		{{6, 0, {0}}, "::/0"},
		{{6, 32, {0x20, 1, 0x0d, 0xb8}}, "2001:db8::/32"},
		{{6, 128, {[15] = 1}}, "::1"},
	};
	const struct prefix odd = {4, 13, {10, 0xf8}};
	const uint8_t in[16] = {10, 0xff, 3}, out[16] = {10, 0xf0, 3}, far[16] = {10, 0x7f, 3};
	char text[PREFIX_TEXT_MAX];
	struct prefix p;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		prefix_format(&cases[i].prefix, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
		assert_true(prefix_contains(&cases[i].prefix, cases[i].prefix.family,
					    cases[i].prefix.addr));
		assert_false(prefix_contains(&cases[i].prefix, 10 - cases[i].prefix.family,
					     cases[i].prefix.addr));
	}
	assert_true(prefix_contains(&odd, 4, in));
	assert_false(prefix_contains(&odd, 4, out));
	assert_false(prefix_contains(&odd, 4, far));

	p = (struct prefix){6, 95, {[10] = 0xff, [11] = 0xfe}};
	prefix_unmap(&p);
	assert_int_equal(p.family, 6);
	p = (struct prefix){6, 104, {[10] = 0xff, [11] = 0xff, [12] = 10}};
	prefix_unmap(&p);
	prefix_format(&p, text, sizeof(text));
	assert_string_equal(text, "10.0.0.0/8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),	   cmocka_unit_test(test_values),
		cmocka_unit_test(test_names),	   cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_ports_once), cmocka_unit_test(test_deterministic),
		cmocka_unit_test(test_many),	   cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_prefix),	   cmocka_unit_test(test_unresolved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
