// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "base/util.h"
#include "conf/conf.h"
#include "rules/explain.h"
#include "rules/lpm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <json-c/json.h>

static void test_parse(void **state)
{
	static const struct {
		const char *text, *address;
		unsigned family, port;
	} good[] = {
		{"10.20.0.8", "10.20.0.8", 4, 3306},
		{"10.20.0.8:1", "10.20.0.8", 4, 1},
		{"10.20.0.8:65535", "10.20.0.8", 4, 65535},
		{"::1", "::1", 6, 3306},
		{"2001:db8::1:3306", "2001:db8::1:3306", 6, 3306},
		{"[2001:db8::1]", "2001:db8::1", 6, 3306},
		{"[2001:db8::1]:33060", "2001:db8::1", 6, 33060},
		{"::ffff:10.20.0.8", "10.20.0.8", 4, 3306},
		{"[::ffff:10.20.0.8]:5", "10.20.0.8", 4, 5},
		{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6, 3306},
	};
	static const char *const bad[] = {
		"",
		"db.internal",
		"10.20.0",
		"10.20.0.8:",
		"10.20.0.8:0",
		"10.20.0.8:65536",
		"10.20.0.8:x",
		"10.20.0.8:+5",
		"10.20.0.8: 5",
		"10.20.0.0/16",
		":3306",
		"[::1",
		"[::1]3306",
		"[::1]:",
		"[::1]:0",
		"[::1]:5:6",
		"[]:5",
		"[10.0.0.1]:5",
		"::1]:5",
		"fe80::1%eth0",
		"[fe80::1%eth0]:5",
		"10.20.0.300",
		" 10.0.0.1",
		"10.0.0.1 ",
		"::1:",
		"10.20.0.8:4294967297",
		"1111111111111111111111111111111111111111111111111111111111111111111111111111",
	};
	char address[INET6_ADDRSTRLEN];
	struct hf_flow flow;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		print_message("%s\n", good[i].text);
		assert_int_equal(explain_parse(good[i].text, &flow, NULL), 0);
		assert_int_equal(flow.family, good[i].family);
		assert_int_equal(flow.peer_port, good[i].port);
		inet_ntop(flow.family == 4 ? AF_INET : AF_INET6, flow.peer, address,
			  sizeof(address));
		assert_string_equal(address, good[i].address);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error e = {0};

		print_message("\"%s\"\n", bad[i]);
		assert_int_equal(explain_parse(bad[i], &flow, &e), -EINVAL);
		assert_true(e.text[0]);
	}
}

static const char rules[] = "[rule everywhere]\ndestination = any\n"
			    "[rule orders]\ndestination = 10.20.0.0/16, 10.0.0.0/8, db.x\n"
			    "[rule lab]\ndestination = 10.20.99.0/24\nenforce = no\n"
			    "[rule serve]\ndestination = 10.20.0.0/16\nside = server\n"
			    "[rule x]\ndestination = 10.20.99.7\nport = 33060-33062, 5\n"
			    "[rule far]\ndestination = 192.0.2.0/24\n";

struct asked {
	struct config config;
	struct rule_entry *entries;
	struct lpm *lpm;
	struct explanation x;
};

/* Parses a configuration, matches an address and explains the match, as the verb does. */
static void ask(struct asked *a, const char *text, const char *address)
{
	struct conf_messages messages;
	const struct hf_rule *rule;
	struct hf_flow flow;
	enum hf_side side;
	size_t n, i;

	assert_int_equal(conf_parse_text("t", text, strlen(text), &a->config, &messages), 0);
	conf_messages_free(&messages);
	for (i = 0; i < a->config.n_rules; i++) {
		struct destination *d =
			&a->config.rules[i].destinations[a->config.rules[i].n_destinations - 1];

		/* Names that begin with "db." resolve to 10.20.0.5. */
		if (d->kind != DESTINATION_NAME || strncmp(d->name, "db.", 3) != 0)
			continue;
		d->resolved = calloc(1, sizeof(*d->resolved));
		assert_non_null(d->resolved);
		*d->resolved = (struct prefix){4, 32, {10, 20, 0, 5}};
		d->n_resolved = 1;
	}
	assert_int_equal(rules_compile(&a->config, 1, &a->entries, &n, NULL), 0);
	a->lpm = lpm_new(a->entries, n);
	assert_non_null(a->lpm);
	assert_int_equal(explain_parse(address, &flow, NULL), 0);
	rule = lpm_match(a->lpm, &flow, &side);
	assert_int_equal(explain(&a->config, &flow, rule ? rule->index : EXPLAIN_NONE, &a->x, NULL),
			 0);
}

static void asked_free(struct asked *a)
{
	explanation_free(&a->x);
	lpm_free(a->lpm);
	free(a->entries);
	config_free(&a->config);
}

static void assert_entry(const struct asked *a, size_t i, const char *name, unsigned len,
			 enum explain_fate fate)
{
	assert_true(i < a->x.n);
	assert_string_equal(a->x.list[i].rule->name, name);
	assert_int_equal(a->x.list[i].prefix.len, len);
	assert_int_equal(a->x.list[i].fate, fate);
}

static void assert_printed(const struct asked *a, const char *want)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	explain_print(&a->x, out);
	fclose(out);
	assert_string_equal(text, want);
	free(text);
}

static void test_winner(void **state)
{
	struct asked a;

	(void)state;
	ask(&a, rules, "10.20.99.7");
	assert_true(a.x.has_winner);
	assert_int_equal(a.x.n, 5);
	assert_int_equal(a.x.n_matching, 3);
	assert_entry(&a, 0, "lab", 24, EXPLAIN_WINS);
	assert_entry(&a, 1, "orders", 16, EXPLAIN_SHORTER);
	assert_entry(&a, 2, "everywhere", 0, EXPLAIN_SHORTER);
	assert_entry(&a, 3, "x", 32, EXPLAIN_PORT);
	assert_entry(&a, 4, "serve", 16, EXPLAIN_SIDE);
	assert_printed(
		&a, "10.20.99.7:3306 gets rule lab\n"
		    "  by 10.20.99.0/24: the longest prefix that matches\n"
		    "  enforce = no: these sockets are left alone\n"
		    "\n"
		    "These match too:\n"
		    "  orders      10.20.0.0/16  shorter prefix: /16, and lab has /24\n"
		    "  everywhere  any           shorter prefix: /0, and lab has /24\n"
		    "\n"
		    "These have the address, but don't match:\n"
		    "  x      10.20.99.7    ports 5, 33060-33062 only\n"
		    "  serve  10.20.0.0/16  side = server: it holds what such peers connect to\n");
	asked_free(&a);

	ask(&a, rules, "10.20.99.7:33061");
	assert_entry(&a, 0, "x", 32, EXPLAIN_WINS);
	assert_int_equal(a.x.n_matching, 1);
	assert_int_equal(a.x.n, 5);
	asked_free(&a);
}

static void test_no_winner(void **state)
{
	struct asked a;

	(void)state;
	ask(&a, "[rule a]\ndestination = 10.0.0.0/8, nobody.example\nport = 7\n", "[::1]:9");
	assert_false(a.x.has_winner);
	assert_int_equal(a.x.n, 0);
	assert_printed(&a, "[::1]:9 gets no rule\n\nWithout an address by now:\n"
			   "  a  nobody.example\n");
	asked_free(&a);

	ask(&a, "[rule a]\ndestination = 10.0.0.0/8\nport = 7\n", "10.0.0.1");
	assert_false(a.x.has_winner);
	assert_int_equal(a.x.n, 1);
	assert_int_equal(a.x.n_matching, 0);
	assert_entry(&a, 0, "a", 8, EXPLAIN_PORT);
	asked_free(&a);
}

static void test_alone(void **state)
{
	struct asked a;

	(void)state;
	ask(&a, "[rule a]\ndestination = 10.0.0.0/8\nwindow = 1h\nuser-timeout = 12min\n",
	    "10.0.0.1");
	assert_printed(&a, "10.0.0.1:3306 gets rule a\n"
			   "  by 10.0.0.0/8: the only rule that matches\n"
			   "  time 10min, interval 1min, probes 5, user-timeout 12min, override "
			   "when-longer; window 1h\n");
	asked_free(&a);
}

static void test_names(void **state)
{
	const struct hf_flow flow = {.family = 4, .peer_port = 3306, .peer = {10, 20, 0, 5}};
	struct asked a;

	(void)state;
	ask(&a, "[rule n]\ndestination = db.x\n[rule m]\ndestination = db.y\n", "10.20.0.5");
	assert_entry(&a, 0, "n", 32, EXPLAIN_WINS);
	assert_entry(&a, 1, "m", 32, EXPLAIN_LATER);
	assert_printed(&a, "10.20.0.5:3306 gets rule n\n"
			   "  by db.x (10.20.0.5): the first of the rules with this address\n"
			   "  time 200s, interval 20s, probes 5, user-timeout off, override "
			   "when-longer; window auto\n"
			   "\n"
			   "These match too:\n"
			   "  m  db.y (10.20.0.5)  by host name too, and n comes first\n");
	asked_free(&a);

	ask(&a, "[rule n]\ndestination = db.x\n[rule m]\ndestination = 10.20.0.5\n", "10.20.0.5");
	assert_entry(&a, 0, "m", 32, EXPLAIN_WINS);
	assert_entry(&a, 1, "n", 32, EXPLAIN_BY_NAME);
	asked_free(&a);

	/* An IPv4-mapped address of a host name counts as IPv4. */
	ask(&a, "[rule n]\ndestination = db.x\n", "10.20.0.5");
	*a.config.rules[0].destinations[0].resolved =
		(struct prefix){6, 128, {[10] = 0xff, 0xff, 10, 20, 0, 5}};
	explanation_free(&a.x);
	assert_int_equal(explain(&a.config, &flow, 0, &a.x, NULL), 0);
	assert_entry(&a, 0, "n", 32, EXPLAIN_WINS);
	asked_free(&a);

	/* Of the destinations of one rule, the one that fits best is shown. */
	ask(&a, "[rule n]\ndestination = 10.20.0.5, any, 10.20.0.0/16, db.x\n", "10.20.0.5");
	assert_entry(&a, 0, "n", 32, EXPLAIN_WINS);
	assert_int_equal(a.x.list[0].destination->kind, DESTINATION_PREFIX);
	asked_free(&a);
}

/* explain() refuses an index that the kernel found with rules that have been replaced since. */
static void test_stale(void **state)
{
	struct explanation x;
	struct hf_flow flow;
	struct asked a;
	struct error e = {0};

	(void)state;
	ask(&a, rules, "10.20.0.9");
	assert_int_equal(explain_parse("10.20.0.9", &flow, NULL), 0);
	assert_int_equal(explain(&a.config, &flow, 6, &x, &e), -EINVAL);
	assert_int_equal(explain(&a.config, &flow, 5, &x, &e), -EINVAL);
	assert_int_equal(explain(&a.config, &flow, EXPLAIN_NONE, &x, &e), 0);
	assert_false(x.has_winner);
	assert_int_equal(x.list[0].fate, EXPLAIN_PASSED);
	explanation_free(&x);
	asked_free(&a);
}

static void test_json(void **state)
{
	struct json_object *object, *value;
	struct asked a;

	(void)state;
	ask(&a, rules, "10.20.99.7");
	object = explain_to_json(&a.x);
	assert_non_null(object);
	assert_true(json_object_object_get_ex(object, "address", &value));
	assert_string_equal(json_object_get_string(value), "10.20.99.7");
	assert_true(json_object_object_get_ex(object, "port", &value));
	assert_int_equal(json_object_get_int(value), 3306);
	assert_true(json_object_object_get_ex(object, "rule", &value));
	assert_true(json_object_object_get_ex(value, "name", &value));
	assert_string_equal(json_object_get_string(value), "lab");
	assert_true(json_object_object_get_ex(object, "match", &value));
	assert_string_equal(
		json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE),
		"{\"rule\":\"lab\",\"destination\":\"10.20.99.0/24\",\"prefix\":\"10.20.99.0/24\","
		"\"prefix_length\":24,\"reason\":\"wins\",\"why\":\"the longest prefix that "
		"matches\"}");
	assert_true(json_object_object_get_ex(object, "also", &value));
	assert_int_equal(json_object_array_length(value), 2);
	assert_true(json_object_object_get_ex(object, "near", &value));
	assert_int_equal(json_object_array_length(value), 2);
	json_object_put(object);
	asked_free(&a);

	ask(&a, "[rule a]\ndestination = nobody.example\n", "::1");
	object = explain_to_json(&a.x);
	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
			    "{\"address\":\"::1\",\"port\":3306,\"rule\":null,\"match\":null,"
			    "\"host\":null,\"also\":[],\"near\":[],"
			    "\"unresolved\":[\"nobody.example\"]}");
	json_object_put(object);
	asked_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	  cmocka_unit_test(test_winner),
		cmocka_unit_test(test_no_winner), cmocka_unit_test(test_alone),
		cmocka_unit_test(test_names),	  cmocka_unit_test(test_stale),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
