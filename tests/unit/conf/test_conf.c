// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tests what valid configurations mean; test_conf_bad.c has the invalid ones. The file is long
 * because most of it is configurations.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "base/util.h"
#include "conf/conf.h"
#include "conf/text.h"

#include <errno.h>

/* Parses text that must have no errors and no warnings. */
static void parse(const char *text, struct config *config)
{
	struct conf_messages messages;
	int err = conf_parse_text("t.conf", text, strlen(text), config, &messages);

	if (messages.n)
		print_message("%u: %s\n", messages.list[0].line, messages.list[0].text);
	assert_int_equal(messages.n, 0);
	assert_int_equal(err, 0);
	conf_messages_free(&messages);
}

static const char interface_example[] =
	"[daemon]\n"
	"guard     = yes          # stop applications from undoing enforcement\n"
	"reconcile = 60s          # how often all held sockets are looked at again\n"
	"\n"
	"[defaults]               # any key of a rule but destination\n"
	"window = 1h              # the path forgets a flow that idles this long\n"
	"\n"
	"[rule everywhere]\n"
	"destination = any\n"
	"\n"
	"[rule orders-db]\n"
	"destination  = 10.20.0.0/16, 2001:db8::/32, orders.db.internal\n"
	"port         = 3306, 33060-33062\n"
	"window       = 350s\n"
	"time         = 120s      # tcp_keepalive_time:   idle this long, then probe\n"
	"interval     = 30s       # tcp_keepalive_intvl:  between unanswered probes\n"
	"probes       = 4         # tcp_keepalive_probes: unanswered this often, then reset\n"
	"\n"
	"[rule lab]\n"
	"destination = 10.20.99.0/24\n"
	"enforce     = no         # leave these sockets alone\n";

static void test_example(void **state)
{
	const struct rule *rule;
	struct config config;

	(void)state;
	parse(interface_example, &config);
	assert_true(config.guard);
	assert_int_equal(config.reconcile_s, 60);
	assert_int_equal(config.n_rules, 3);

	rule = &config.rules[0];
	assert_string_equal(rule->name, "everywhere");
	assert_int_equal(rule->n_destinations, 1);
	assert_int_equal(rule->destinations[0].kind, DESTINATION_ANY);
	assert_int_equal(rule->n_ports, 1);
	assert_int_equal(rule->ports[0].first, 3306);
	assert_int_equal(rule->ports[0].last, 3306);
	assert_int_equal(rule->side, RULE_SIDE_CLIENT);
	assert_int_equal(rule->window_ms, 3600000);
	assert_int_equal(rule->time_s, 600);
	assert_int_equal(rule->interval_s, 60);
	assert_int_equal(rule->probes, 5);
	assert_int_equal(rule->user_timeout_ms, 0);
	assert_int_equal(rule->override, HF_OVERRIDE_WHEN_LONGER);
	assert_true(rule->enforce);

	rule = config_find_rule(&config, "orders-db");
	assert_ptr_equal(rule, &config.rules[1]);
	assert_int_equal(rule->n_destinations, 3);
	assert_int_equal(rule->destinations[0].kind, DESTINATION_PREFIX);
	assert_int_equal(rule->destinations[0].prefix.family, 4);
	assert_int_equal(rule->destinations[0].prefix.len, 16);
	assert_memory_equal(rule->destinations[0].prefix.addr, "\x0a\x14\0\0", 4);
	assert_int_equal(rule->destinations[1].prefix.family, 6);
	assert_int_equal(rule->destinations[1].prefix.len, 32);
	assert_int_equal(rule->destinations[2].kind, DESTINATION_NAME);
	assert_string_equal(rule->destinations[2].name, "orders.db.internal");
	assert_int_equal(rule->n_ports, 2);
	assert_int_equal(rule->ports[1].first, 33060);
	assert_int_equal(rule->ports[1].last, 33062);
	assert_int_equal(rule->window_ms, 350000);
	assert_int_equal(rule->time_s, 120);
	assert_int_equal(rule->interval_s, 30);
	assert_int_equal(rule->probes, 4);

	assert_false(config.rules[2].enforce);
	assert_null(config_find_rule(&config, "nobody"));
	config_free(&config);
	assert_int_equal(config.n_rules, 0);
}

/* The defaults of time and interval follow from window and time. */
static void test_derived(void **state)
{
	static const struct {
		const char *keys;
		unsigned time_s, interval_s;
	} cases[] = {
		{"", 200, 20},
		{"window = 350s", 87, 8},
		{"window = 2399s", 599, 59},
		{"window = 2400s", 600, 60},
		{"window = 10d", 600, 60},
		{"window = 240s", 60, 6},
		{"window = 43s", 10, 1},
		{"window = 6s\nprobes = 1", 1, 1},
		{"window = 3999ms\nprobes = 2", 1, 1},
		{"window = 7999ms", 1, 1},
		{"window = 8s", 2, 1},
		{"window = 1001ms\nprobes = 1", 1, 1},
		{"time = 19s", 19, 1},
		{"time = 20s", 20, 2},
		{"time = 740s", 740, 74},
		{"time = 760s", 760, 75},
		{"time = 32767s\nwindow = 1d", 32767, 75},
		{"interval = 7s", 200, 7},
		{"window = auto", 200, 20},
		{"window = auto\ntime = 2h", 7200, 75},
		{"window = 1h\ninterval = 7s", 600, 7},
	};
	char text[256];
	struct config config;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		print_message("%s\n", cases[i].keys);
		snprintf(text, sizeof(text), "[rule a]\ndestination = any\n%s\n", cases[i].keys);
		parse(text, &config);
		assert_int_equal(config.rules[0].time_s, cases[i].time_s);
		assert_int_equal(config.rules[0].interval_s, cases[i].interval_s);
		config_free(&config);

		/* The same keys in [defaults], after the rule, have the same effect. */
		snprintf(text, sizeof(text), "[rule a]\ndestination = any\n[defaults]\n%s\n",
			 cases[i].keys);
		parse(text, &config);
		assert_int_equal(config.rules[0].time_s, cases[i].time_s);
		assert_int_equal(config.rules[0].interval_s, cases[i].interval_s);
		config_free(&config);
	}
}

static void test_defaults(void **state)
{
	struct config config;

	(void)state;
	parse("[rule a]\ndestination = any\nport = 1\n"
	      "[rule b]\ndestination = any\nside = both\nenforce = yes\noverride = never\n"
	      "probes = 1\nwindow = 2h\ntime = 2min\ninterval = 3s\nuser-timeout = off\n"
	      "[defaults]\nport = 5, 7-9\nside = server\nwindow = 100s\ntime = 20s\ninterval = 4s\n"
	      "probes = 3\nuser-timeout = 30s\noverride = always\nenforce = no\n",
	      &config);
	assert_int_equal(config.rules[0].ports[0].first, 1);
	assert_int_equal(config.rules[0].n_ports, 1);
	assert_int_equal(config.rules[0].side, RULE_SIDE_SERVER);
	assert_int_equal(config.rules[0].window_ms, 100000);
	assert_int_equal(config.rules[0].time_s, 20);
	assert_int_equal(config.rules[0].interval_s, 4);
	assert_int_equal(config.rules[0].probes, 3);
	assert_int_equal(config.rules[0].user_timeout_ms, 30000);
	assert_int_equal(config.rules[0].override, HF_OVERRIDE_ALWAYS);
	assert_false(config.rules[0].enforce);

	assert_int_equal(config.rules[1].n_ports, 2);
	assert_int_equal(config.rules[1].ports[1].last, 9);
	assert_int_equal(config.rules[1].side, RULE_SIDE_BOTH);
	assert_int_equal(config.rules[1].window_ms, 7200000);
	assert_int_equal(config.rules[1].time_s, 120);
	assert_int_equal(config.rules[1].interval_s, 3);
	assert_int_equal(config.rules[1].probes, 1);
	assert_int_equal(config.rules[1].user_timeout_ms, 0);
	assert_int_equal(config.rules[1].override, HF_OVERRIDE_NEVER);
	assert_true(config.rules[1].enforce);
	config_free(&config);
}

/* All these ways of writing are valid. */
static void test_forms(void **state)
{
	static const char *const forms[] = {
		"[rule a]\ndestination = any",
		"\xef\xbb\xbf[rule a]\ndestination = any\n",
		"[rule a]\r\ndestination = any\r\n",
		"\r\n\n  \t \n[rule a]\ndestination=any\n",
		"  [rule a]  \n\t destination\t=\tany \t \n",
		"[rule \t a]\ndestination = any\n",
		"# x\n; y\n  # z\n[rule a] # here\ndestination = any ; there\n",
		"[rule a]\ndestination = any\n[daemon]\n[daemon]\n[defaults]\n[defaults]\n",
		"[rule a]\n  destination = any\n  port = 5\n  time = 5\n",
		"[rule a]\ndestination = any, any, 0.0.0.0/0, ::/0\n",
		"[rule a]\ndestination = 10.0.0.0/8, 10.0.0.0/8, db.x, DB.x\nside = both\n",
		"[rule a]\ndestination = localhost, a_b.c-d.example., 3com.example, 0xzz\n",
		"[rule a]\ndestination = 1.2.3.4/32, ::1, ::1/128, ::ffff:1.2.3.4, 0.0.0.0\n",
		"[rule a]\nport = 1-65535, 7, 5-9\ndestination = ::/1\n",
		"[rule a]\ndestination = any\nuser-timeout = 2147483647ms\n",
		"[rule a]\ndestination = any\nwindow = 3650d\ntime = 32767\ninterval = 32767\n",
		"[rule a]\ndestination = any\nprobes = 127\ninterval = 1s\n",
		"[rule 0123456789.ABC_def-ghijklmnopqrs]\ndestination = any\n",
		"[daemon]\nguard = no\nreconcile = 1d\n[rule a]\ndestination = any\n",
		/* The other side with the same port, and another port, are no conflict. */
		"[rule a]\ndestination = any\n[rule b]\ndestination = any\nside = server\n",
		"[rule a]\ndestination = any\nport = 1-9\n[rule b]\ndestination = any\nport = 10\n",
		"[rule a]\ndestination = any\n[rule b]\ndestination = 10.0.0.0/8, ::1\n",
		"[rule a]\ndestination = any, ::/0\nport = 1\n"
		"[rule b]\ndestination = any, any\nport = 2\n",
		/* With enforce = no, values that contradict each other are not used. */
		"[defaults]\ntime = 10min\n[rule a]\ndestination = any\nwindow = 350s\nenforce = "
		"no\n",
		"[rule a]\ndestination = any\nwindow = 1s\nenforce = no\n",
		"[rule a]\ndestination = any\nprobes = 127\nuser-timeout = 1ms\nenforce = no\n",
	};
	struct config config;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		print_message("%s\n--\n", forms[i]);
		parse(forms[i], &config);
		assert_true(config.n_rules >= 1);
		config_free(&config);
	}
}

static void test_mapped(void **state)
{
	struct config config;

	(void)state;
	parse("[rule a]\ndestination = ::ffff:10.1.0.0/112, ::ffff:0:0/96, ::ffff:1.2.3.4, ::/0\n",
	      &config);
	assert_int_equal(config.rules[0].destinations[0].prefix.family, 4);
	assert_int_equal(config.rules[0].destinations[0].prefix.len, 16);
	assert_memory_equal(config.rules[0].destinations[0].prefix.addr,
			    "\x0a\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(config.rules[0].destinations[1].prefix.family, 4);
	assert_int_equal(config.rules[0].destinations[1].prefix.len, 0);
	assert_int_equal(config.rules[0].destinations[2].prefix.len, 32);
	assert_int_equal(config.rules[0].destinations[3].prefix.family, 6);
	config_free(&config);
}

static void test_ports_merged(void **state)
{
	static const struct port_range want[] = {{1, 1}, {3, 12}, {20, 20}, {65535, 65535}};
	struct config config;

	(void)state;
	parse("[rule a]\ndestination = any\nport = 65535, 20, 9-10, 3-5, 6-8 , 4,1, 10-12,20-20\n",
	      &config);
	assert_int_equal(config.rules[0].n_ports, ARRAY_SIZE(want));
	assert_memory_equal(config.rules[0].ports, want, sizeof(want));
	config_free(&config);
}

/* Lines may have any length up to the limit. */
static void test_long_lines(void **state)
{
	_cleanup_free_ char *text = calloc(1, 3 * CONF_LINE_MAX);
	char expect[16];
	struct config config;
	size_t used, i, n, pad;

	(void)state;
	assert_non_null(text);
	for (pad = 0; pad < 160; pad++) {
		used = (size_t)sprintf(text, "[rule a]\nport = ");
		for (n = 0; n < pad; n++)
			text[used++] = ' ';
		text[used++] = '1';
		for (i = 2; used < CONF_LINE_MAX - 20; i++)
			used += (size_t)sprintf(text + used, i % 3 ? ", %zu" : " ,   %zu", 2 * i);
		used += (size_t)sprintf(text + used, "   # %zu ; # and more\ndestination = any\n",
					i);
		parse(text, &config);
		assert_int_equal(config.rules[0].n_ports, i - 1);
		assert_int_equal(config.rules[0].ports[i - 2].first, 2 * (i - 1));
		config_free(&config);
	}

	/* The longest line consists of host names; the \r at its end doesn't count. */
	used = (size_t)sprintf(text, "[rule a]\ndestination = ");
	n = used - strlen("[rule a]\n");
	for (i = 0; n < CONF_LINE_MAX - 20; i++)
		n += (size_t)sprintf(text + strlen(text), "h%zu.x,", i);
	while (n++ < CONF_LINE_MAX)
		strcat(text, "y");
	strcat(text, "\r\n");
	parse(text, &config);
	snprintf(expect, sizeof(expect), "h%zu.x", i - 1);
	assert_int_equal(config.rules[0].n_destinations, i + 1);
	assert_string_equal(config.rules[0].destinations[i - 1].name, expect);
	config_free(&config);
}

static void test_builtin(void **state)
{
	struct conf_messages messages;
	struct config config;

	(void)state;
	assert_int_equal(
		conf_load_from("/nonexistent/h.conf", "/nonexistent/h.conf.d", &config, &messages),
		0);
	assert_int_equal(messages.n, 0);
	assert_int_equal(config.n_rules, 1);
	assert_true(config.guard);
	assert_int_equal(config.reconcile_s, 60);
	assert_null(config.textfile);
	assert_int_equal(config.rules[0].destinations[0].kind, DESTINATION_ANY);
	assert_int_equal(config.rules[0].ports[0].first, 3306);
	assert_int_equal(config.rules[0].window_ms, 0);
	assert_int_equal(config.rules[0].time_s, 200);
	assert_int_equal(config.rules[0].interval_s, 20);
	assert_int_equal(config.rules[0].probes, 5);
	conf_messages_free(&messages);
	config_free(&config);
}

/* conf_parse_text() reads the same configuration that conf_write_text() has written. */
static void test_text(void **state)
{
	static const char text[] =
		"[daemon]\nguard = no\nreconcile = 90s\n"
		"metrics-textfile = /var/lib/a b/h=1.prom # where it goes\n"
		"[rule a]\ndestination = any, 10.0.0.0/8, ::1, db.internal, other.internal\n"
		"port = 3306, 33060-33062\nside = both\nwindow = 1h 500ms\ntime = 11min\n"
		"interval = 7\nprobes = 9\nuser-timeout = 12min 1ms\noverride = always\n"
		"[rule b]\ndestination = 10.0.0.0/9, ::102:304\nenforce = no\noverride = never\n"
		"[defaults]\ntime = 20min\n"
		"[rule c]\ndestination = 10.0.0.1\nwindow = 1min\nenforce = no\n";
	struct prefix *resolved = calloc(2, sizeof(*resolved));
	struct conf_messages messages;
	_cleanup_free_ char *first = NULL, *second = NULL;
	struct config config, back;
	size_t i;

	(void)state;
	parse(text, &config);
	assert_non_null(resolved);
	resolved[0] = (struct prefix){.family = 4, .len = 32, .addr = {10, 9, 8, 7}};
	resolved[1] = (struct prefix){.family = 6, .len = 128, .addr = {0x20, 1, [15] = 1}};
	config.rules[0].destinations[3].resolved = resolved;
	config.rules[0].destinations[3].n_resolved = 2;

	first = conf_write_text(&config);
	assert_non_null(first);
	parse(first, &back);
	second = conf_write_text(&back);
	assert_string_equal(first, second);

	assert_int_equal(back.n_rules, 3);
	for (i = 0; i < 3; i++) {
		const struct rule *was = &config.rules[i], *is = &back.rules[i];

		assert_string_equal(is->name, was->name);
		assert_int_equal(is->n_destinations, was->n_destinations);
		assert_int_equal(is->n_ports, was->n_ports);
		assert_memory_equal(is->ports, was->ports, was->n_ports * sizeof(*was->ports));
		assert_int_equal(is->side, was->side);
		assert_int_equal(is->window_ms, was->window_ms);
		assert_int_equal(is->time_s, was->time_s);
		assert_int_equal(is->interval_s, was->interval_s);
		assert_int_equal(is->probes, was->probes);
		assert_int_equal(is->user_timeout_ms, was->user_timeout_ms);
		assert_int_equal(is->override, was->override);
		assert_int_equal(is->enforce, was->enforce);
	}
	assert_false(back.guard);
	assert_int_equal(back.reconcile_s, 90);
	assert_string_equal(back.textfile, "/var/lib/a b/h=1.prom");
	assert_int_equal(back.rules[0].window_ms, 3600500);
	assert_int_equal(back.rules[0].user_timeout_ms, 720001);
	assert_int_equal(back.rules[0].destinations[3].n_resolved, 2);
	assert_memory_equal(back.rules[0].destinations[3].resolved, resolved,
			    2 * sizeof(*resolved));
	assert_int_equal(back.rules[0].destinations[4].n_resolved, 0);
	assert_int_equal(back.rules[2].time_s, 1200);

	/* Without the mark, the key `resolved` is unknown. */
	assert_int_equal(conf_parse_text("t", first + 1, strlen(first) - 1, &config, &messages),
			 -EBADMSG);
	conf_messages_free(&messages);
	config_free(&back);
	config_free(&config);
}

/* Text with the mark may have lines longer than CONF_LINE_MAX. */
static void test_text_long_lines(void **state)
{
	const size_t n = 1000;
	struct config config, back;
	_cleanup_free_ char *text = NULL;
	size_t i;

	(void)state;
	parse("[rule a]\ndestination = db\n", &config);
	config.rules[0].destinations[0].resolved = calloc(n, sizeof(struct prefix));
	config.rules[0].destinations[0].n_resolved = n;
	for (i = 0; i < n; i++)
		config.rules[0].destinations[0].resolved[i] = (struct prefix){
			.family = 6,
			.len = 128,
			.addr = {0x20, 1, 0xd, 0xb8, [14] = (uint8_t)(i >> 8), (uint8_t)i}};
	text = conf_write_text(&config);
	assert_non_null(text);
	parse(text, &back);
	assert_int_equal(back.rules[0].destinations[0].n_resolved, n);
	assert_memory_equal(back.rules[0].destinations[0].resolved,
			    config.rules[0].destinations[0].resolved, n * sizeof(struct prefix));
	config_free(&back);
	config_free(&config);
}

static void test_message_format(void **state)
{
	char file[] = "/etc/a\nb.conf", text[] = "wrong (write right)";
	struct conf_message message = {.file = file, .line = 7, .text = text};
	char *line;

	(void)state;
	line = conf_message_format(&message);
	assert_string_equal(line, "/etc/a\\x0ab.conf:7: error: wrong (write right)");
	free(line);
	message.line = 0;
	message.warning = true;
	line = conf_message_format(&message);
	assert_string_equal(line, "/etc/a\\x0ab.conf:0: warning: wrong (write right)");
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),	       cmocka_unit_test(test_derived),
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_forms),
		cmocka_unit_test(test_mapped),	       cmocka_unit_test(test_ports_merged),
		cmocka_unit_test(test_long_lines),     cmocka_unit_test(test_builtin),
		cmocka_unit_test(test_text),	       cmocka_unit_test(test_text_long_lines),
		cmocka_unit_test(test_message_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
