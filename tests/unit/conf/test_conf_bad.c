// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tests the messages of configurations that are invalid, or only look wrong, and their lines. The
 * file is long because its tables have a line for each message.
 */
#include "unit.h"

#include "base/util.h"
#include "conf/conf.h"

#include <errno.h>
#include <time.h>

#define A	     "[rule a]\ndestination = any\n" /* two valid lines */
#define MESSAGES_MAX 16

struct expected {
	unsigned line;
	const char *fragment;
};

struct bad {
	const char *text;
	struct expected errors[MESSAGES_MAX]; /* all messages, in order */
};

/* clang-format off */
static const struct bad bad[] = {
	/* Lines. */
	{"port = 1\n" A, {{1, "outside any section"}}},
	{"x = 1\ny = 2\n" A, {{1, "\"x\" is outside"}, {2, "\"y\" is outside"}}},
	{A "port\n", {{3, "neither a section nor a key"}}},
	{A "port: 3306\n", {{3, "(write key = value)"}}},
	{A "= 3306\n", {{3, "neither"}}},
	{A "]\n", {{3, "neither"}}},
	{A "any\nport = # = 5\n", {{3, "neither"}, {4, "port has no value"}}},
	{"[rule a\ndestination = any\n", {{1, "without ]"}}},
	{"[rule a # ]\ndestination = any\n", {{1, "without ]"}}},
	{"[rule a] b\ndestination = any\n", {{1, "something behind"}}},
	{"[rule a];\ndestination = any\n", {{1, "(write [rule a] alone)"}}},
	{"[rule a]]\ndestination = any\n", {{1, "something behind"}}},
	{A "\x01 = \x1b[31m\n", {{3, "unknown key \"\\x01\""}}},
	{A "side = \x1b[31m\xff\n", {{3, "\"\\x1b[31m\\xff\""}}},
	{A "\xef\xbb\xbfport = 1\n", {{3, "unknown key"}}},

	/* Sections. */
	{"[foo]\nx = 1\ny\n" A, {{1, "unknown section [foo]"}, {3, "neither"}}},
	{"[]\n" A, {{1, "unknown section []"}}},
	{"[Daemon]\n" A, {{1, "(write [daemon])"}}},
	{"[deamon]\n" A, {{1, "(write [daemon])"}}},
	{"[default]\n" A, {{1, "(write [defaults])"}}},
	{"[daemon x]\n" A, {{1, "unknown section"}}},
	{"[ daemon]\n" A, {{1, "unknown section"}}},
	{"[Rule b]\ndestination = any\n" A, {{1, "(write [rule NAME])"}}},
	{"[rules b]\n" A, {{1, "(write [rule NAME])"}}},
	{"[rule]\ndestination = any\n", {{1, "no name"}}},
	{"[rule ]\ndestination = any\n", {{1, "no name"}}},
	{"[rule a b]\ndestination = any\n", {{1, "rule name \"a b\""}}},
	{"[rule a ]\ndestination = any\n", {{1, "rule name \"a \""}}},
	{"[rule a/b]\ndestination = any\n", {{1, "letters, digits"}}},
	{"[rule \xc3\xa4]\ndestination = any\n", {{1, "rule name \"\xc3\xa4\""}}},
	{"[rule 012345678901234567890123456789012]\ndestination = any\n", {{1, "at most 32"}}},
	/* Cut to 32 bytes, the name would be valid. */
	{"[rule 01234567890123456789012345678901                                   x]\n"
	 "destination = any\n", {{1, "characters that it may not have"}}},
	{A "port = 1\n" A "port = 2\n", {{4, "\"a\" is there twice (write another name, t.conf:1"}}},
	{A A A, {{3, "twice"}, {4, "claims any, port 3306, side client"}, {5, "twice"}, {6, "claims any"}}},

	/* Keys. */
	{A "foo = 1\n", {{3, "unknown key \"foo\" (write one of destination, port"}}},
	{A "Port = 1\n", {{3, "(write port)"}}},
	{A "widnow = 1\n", {{3, "(write window)"}}},
	{A "user_timeout = 1\n", {{3, "(write user-timeout)"}}},
	{A "tcp_keepalive_time = 1\n", {{3, "(write time)"}}},
	{A "tcp_keepalive_intvl = 1\n", {{3, "(write interval)"}}},
	{A "dest = any\n", {{3, "(write destination)"}}},
	{A "a:b = 1\n", {{3, "unknown key \"a:b\""}}},
	{A "port :x = 1\n", {{3, "unknown key \"port :x\""}}},
	{A "resolved = any, 1.2.3.4\n", {{3, "unknown key \"resolved\""}}},
	{A "guard = yes\n", {{3, "(write it in [daemon])"}}},
	{"[daemon]\nport = 1\n" A, {{2, "[defaults] or [rule NAME]"}}},
	{"[daemon]\nfoo = 1\n" A, {{2, "guard, reconcile, metrics-textfile"}}},
	{"[defaults]\ndestination = any\n" A, {{2, "destination can't have a default"}}},
	{"[defaults]\nreconcile = 5\n" A, {{2, "(write it in [daemon])"}}},
	{"[defaults]\nfoo = 5\n" A, {{2, "unknown key"}}},
	{A "timexxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1\n", {{3, "unknown key"}}},
	{A "port = 1\nport = 1\n", {{4, "port is given twice (write it once, it is on line 3)"}}},
	{"[daemon]\nguard = no\n[daemon]\nguard = no\n" A, {{4, "guard is given twice"}}},
	{"[defaults]\nside = both\n" A "[defaults]\nside = both\n", {{6, "side is given twice"}}},
	{A "destination = any\n", {{3, "destination is given twice"}}},

	/* Values. */
	{A "probes =\n", {{3, "probes has no value (write probes = ...)"}}},
	{A "probes = # 5\n", {{3, "no value"}}},
	{A "probes = 0\n", {{3, "probes: 0 is out of range (write 1 to 127)"}}},
	{A "probes = 128\n", {{3, "out of range"}}},
	{A "probes = 4294967301\n", {{3, "out of range"}}},
	{A "probes = 99999999999999999999999\n", {{3, "out of range"}}},
	{A "probes = +5\n", {{3, "no whole number"}}},
	{A "probes = -5\n", {{3, "no whole number"}}},
	{A "probes = 5x\n", {{3, "no whole number"}}},
	{A "probes = 5 6\n", {{3, "no whole number"}}},
	{A "probes = 5s\n", {{3, "no whole number"}}},
	{A "probes = \"5\"\n", {{3, "no whole number"}}},
	{A "probes = 5# x\n", {{3, "\"5# x\" is no whole number"}}},
	{A "time = 0\n", {{3, "time: 0 is out of range (write 1s to 32767s)"}}},
	{A "time = 500ms\n", {{3, "out of range"}}},
	{A "time = 1500ms\n", {{3, "whole seconds (write 1s)"}}},
	{A "time = 32768\nwindow = 1d\n", {{3, "out of range"}}},
	{A "time = 1.5s\n", {{3, "is no duration"}}},
	{A "time = -5\n", {{3, "is no duration"}}},
	{A "time = 5 s\n", {{3, "is no duration"}}},
	{A "time = 5m\n", {{3, "is no duration"}}},
	{A "time = 5s5\n", {{3, "is no duration"}}},
	{A "time = 1s 1min\n", {{3, "is no duration"}}},
	{A "interval = 0s\n", {{3, "interval: 0s is out of range"}}},
	{A "interval = 32768s\n", {{3, "out of range"}}},
	{A "interval = 2001ms\n", {{3, "whole seconds"}}},
	{A "window = 0\n", {{3, "window: 0 is out of range (write 1ms to 3650d)"}}},
	{A "window = 3651d\n", {{3, "out of range"}}},
	{A "window = 99999999999999999999d\n", {{3, "out of range"}}},
	{A "user-timeout = 0\n", {{3, "user-timeout: 0 is out of range (write 1ms to 2147483647ms)"}}},
	{A "user-timeout = 2147483648ms\n", {{3, "out of range"}}},
	{A "user-timeout = no\n", {{3, "is no duration"}}},
	{A "side = Client\n", {{3, "(write client, server or both)"}}},
	{A "override = sometimes\n", {{3, "(write when-longer, always or never)"}}},
	{A "override = always never\n", {{3, "(write when-longer, always or never)"}}},
	{A "enforce = true\n", {{3, "(write yes or no)"}}},
	{"[daemon]\nguard = on\n" A, {{2, "(write yes or no)"}}},
	{"[daemon]\nreconcile = 0\n" A, {{2, "reconcile: 0 is out of range (write 1s to 1d)"}}},
	{"[daemon]\nreconcile = 86401\n" A, {{2, "out of range"}}},
	{"[daemon]\nreconcile = 1500ms\n" A, {{2, "whole seconds"}}},
	{"[daemon]\nmetrics-textfile = h.prom\n" A, {{2, "metrics-textfile: \"h.prom\" is no absolute path"}}},
	{"[daemon]\nmetrics-textfile = no\n" A, {{2, "(write one that begins with /, or off)"}}},
	{"[daemon]\nmetrics-textfile = /m/h.txt\n" A, {{2, "(write one that ends in .prom"}}},
	{"[daemon]\nmetrics-textfile = /m/h.prom/\n" A, {{2, "ends in .prom"}}},
	{"[daemon]\nmetrics-textfile = /m/.prom\n" A, {{2, "ends in .prom"}}},
	{"[daemon]\nmetrics-textfile = /m/prom\n" A, {{2, "ends in .prom"}}},
	{"[daemon]\nmetrics-textfile = /m/\x1bh.prom\n" A, {{2, "\"/m/\\x1bh.prom\" has control characters"}}},
	{"[daemon]\nmetrics-textfile =\n" A, {{2, "has no value"}}},
	{"[daemon]\nmetrics-textfile = /a.prom\nmetrics-textfile = /b.prom\n" A, {{3, "given twice"}}},
	{"[defaults]\nmetrics-textfile = /a.prom\n" A, {{2, "(write it in [daemon])"}}},
	{"[daemon]\nmetrics_textfile = off\n" A, {{2, "(write metrics-textfile)"}}},
	{"[daemon]\ntextfile = off\n" A, {{2, "unknown key \"textfile\""}}},
	{"[defaults]\nprobes = 0\n" A, {{2, "out of range"}}},

	/* Ports. */
	{A "port = 0\n", {{3, "port: port 0 is out of range (write 1 to 65535)"}}},
	{A "port = 65536\n", {{3, "out of range"}}},
	{A "port = 1-65536\n", {{3, "out of range"}}},
	{A "port = 4294967296\n", {{3, "out of range"}}},
	{A "port = 4294970602\n", {{3, "out of range"}}},
	{A "port = 9-5\n", {{3, "(write 5-9)"}}},
	{A "port = 5-\n", {{3, "is no port"}}},
	{A "port = -5\n", {{3, "is no port"}}},
	{A "port = 5-6-7\n", {{3, "is no port"}}},
	{A "port = 5 - 6\n", {{3, "is no port"}}},
	{A "port = 5 6\n", {{3, "is no port"}}},
	{A "port = mysql\n", {{3, "\"mysql\" is no port"}}},
	{A "port = any\n", {{3, "is no port"}}},
	{A "port = 5,\n", {{3, "element is empty"}}},
	{A "port = ,5\n", {{3, "element is empty"}}},
	{A "port = 5,,6, x,0\n", {{3, "element is empty"}, {3, "\"x\" is no port"}, {3, "port 0"}}},

	/* Destinations. */
	{"[rule a]\nport = 1\n", {{1, "rule \"a\" has no destination"}}},
	{"[rule a]\n\n[rule b]\n", {{1, "no destination"}, {3, "rule \"b\" has no destination"}}},
	{"[rule a]\ndestination =\n", {{2, "destination has no value"}}},
	{"[rule a]\ndestination = ,\n", {{2, "element is empty"}}},
	{"[rule a]\ndestination = any,\n", {{2, "element is empty"}}},
	{"[rule a]\ndestination = any any\n", {{2, "\"any any\" is no destination"}}},
	{"[rule a]\ndestination = Any\n", {{2, "(write any)"}}},
	{"[rule a]\ndestination = *\n", {{2, "(write any)"}}},
	{"[rule a]\ndestination = 10.20.0.1/16\n", {{2, "prefix 10.20.0.1/16 has host bits set (write 10.20.0.0/16)"}}},
	{"[rule a]\ndestination = 10.0.0.1/0\n", {{2, "(write 0.0.0.0/0)"}}},
	{"[rule a]\ndestination = 2001:db8::1/32\n", {{2, "(write 2001:db8::/32)"}}},
	{"[rule a]\ndestination = ::ffff:1.2.3.4/120\n", {{2, "(write ::ffff:1.2.3.0/120)"}}},
	{"[rule a]\ndestination = 10.0.0.0/33\n", {{2, "(write /0 to /32)"}}},
	{"[rule a]\ndestination = ::/129\n", {{2, "(write /0 to /128)"}}},
	{"[rule a]\ndestination = 10.0.0.0/\n", {{2, "prefix length"}}},
	{"[rule a]\ndestination = 10.0.0.0/8/8\n", {{2, "prefix length"}}},
	{"[rule a]\ndestination = 10.0.0.0/+8\n", {{2, "prefix length"}}},
	{"[rule a]\ndestination = 10.0.0.0/ 8\n", {{2, "prefix length"}}},
	{"[rule a]\ndestination = 10.0.0.0/4294967304\n", {{2, "prefix length"}}},
	{"[rule a]\ndestination = 10.0.0.0/255.0.0.0\n", {{2, "prefix length"}}},
	{"[rule a]\ndestination = 10.1\n", {{2, "is no IPv4 address"}}},
	{"[rule a]\ndestination = 10\n", {{2, "is no IPv4 address"}}},
	{"[rule a]\ndestination = 10.0.0.300\n", {{2, "is no IPv4 address"}}},
	{"[rule a]\ndestination = 10.0.0.0x1\n", {{2, "is no IPv4 address"}}},
	{"[rule a]\ndestination = db.10\n", {{2, "is no IPv4 address"}}},
	{"[rule a]\ndestination = 1.2.3.4.\n", {{2, "is no IPv4 address"}}},
	{"[rule a]\ndestination = 2001:db8:::1\n", {{2, "is no IPv6 address"}}},
	{"[rule a]\ndestination = fe80::1%eth0\n", {{2, "scope"}}},
	{"[rule a]\ndestination = fe80::%1/64\n", {{2, "scope"}}},
	{"[rule a]\ndestination = [::1]\n", {{2, "without brackets"}}},
	{"[rule a]\ndestination = [::1]:3306\n", {{2, "without brackets"}}},
	{"[rule a]\ndestination = 10.0.0.1:3306\n", {{2, "(write 10.0.0.1, and the port"}}},
	{"[rule a]\ndestination = db.internal/24\n", {{2, "is no prefix"}}},
	{"[rule a]\ndestination = db..internal\n", {{2, "is no destination"}}},
	{"[rule a]\ndestination = .db\n", {{2, "is no destination"}}},
	{"[rule a]\ndestination = -db, db-, d!b\n", {{2, "\"-db\""}, {2, "\"db-\""}, {2, "\"d!b\""}}},
	{"[rule a]\ndestination = b\xc3\xbc" "cher.example\n", {{2, "is no destination"}}},

	/* Rules that contradict each other, or themselves. */
	{A "[rule b]\ndestination = any\n", {{4, "rule \"b\" claims any, port 3306, side client, which rule \"a\" at t.conf:1"}}},
	{A "[rule b]\ndestination = 10.0.0.0/8, 0.0.0.0/0\n", {{4, "claims 0.0.0.0/0"}}},
	{A "[rule b]\ndestination = ::/0\nside = both\n", {{4, "claims ::/0, port 3306, side client"}}},
	{A "side = both\n[rule b]\ndestination = any\nside = both\n", {{5, "claims any, port 3306, side both"}}},
	{A "side = both\n[rule b]\ndestination = any\nside = server\n", {{5, "side server"}}},
	{A "port = 1-10\n[rule b]\ndestination = any\nport = 20, 10-12\n", {{5, "port 10"}}},
	{"[rule a]\ndestination = 1.2.3.4\n[rule b]\ndestination = ::ffff:1.2.3.4/128\n", {{4, "claims 1.2.3.4"}}},
	{"[rule a]\ndestination = db.x\n[rule b]\ndestination = DB.x.\n", {{4, "claims DB.x."}}},
	{A "port = 1-10\n[rule b]\ndestination = any\nport = 5-20\n[rule c]\nport = 15\ndestination = any\n",
	 {{5, "rule \"b\" claims any, port 5"}, {9, "rule \"c\" claims any, port 15, side client, which rule \"b\""}}},
	{"[rule a]\ndestination = any\nport = 1-200\n[rule b]\ndestination = any\nport = 127, 201\n",
	 {{5, "rule \"b\" claims any, port 127"}}},
	{A "enforce = no\n[rule b]\ndestination = any\n", {{5, "claims"}}},
	{A "window = 350s\ntime = 350s\n", {{4, "time must be below window (write less than 350s)"}}},
	{A "time = 1h\nwindow = 1h\n", {{3, "time must be below window (write less than 1h)"}}},
	{A "window = Auto\n", {{3, "is no duration"}}},
	{A "window = auto 1h\n", {{3, "is no duration"}}},
	{A "time = auto\n", {{3, "is no duration"}}},
	{A "time = 400\n[defaults]\nwindow = 350s\n", {{3, "less than 350s"}}},
	{A "window = 350s\n[defaults]\ntime = 400s\n", {{3, "window must be above time, which is 400s here (write more than 400s)"}}},
	{A "[rule b]\ndestination = ::1\n[defaults]\nwindow = 10s\ntime = 10s\n", {{7, "less than 10s"}}},
	{"[defaults]\nwindow = 10s\ntime = 10s\n", {{3, "less than 10s"}}},
	{A "window = 1s\n", {{3, "window must be above time"}}},
	{A "window = 500ms\ntime = 1s\n", {{4, "(write a window above 1s)"}}},
	{A "window = 350s\ntime = 350s\nenforce = no\n", {{4, "less than 350s"}}},
	/* An invalid value is reported once, not again in what follows from it. */
	{A "window = x\ntime = 2h\n", {{3, "is no duration"}}},
	{A "window = 1s\ntime = x\n", {{4, "is no duration"}}},
	{A "port = x\n[rule b]\ndestination = any\n", {{3, "is no port"}}},
	{"[rule a]\ndestination = 10.1\n", {{2, "is no IPv4 address"}}},

	/* Several at once. */
	{"x = 1\n[foo]\n[rule a]\nport = 0\nfoo = 1\n[rule b]\ndestination = 1.2.3.4/8\ntime = 2h\nwindow = 1h\n[rule b]\nprobes = 500\n",
	 {{1, "outside"}, {2, "unknown section"}, {3, "no destination"}, {4, "port 0"}, {5, "unknown key"},
	  {7, "host bits"}, {8, "less than 1h"}, {10, "no destination"}, {10, "twice"}, {11, "out of range"}}},
};

/* Warnings, and no errors. */
static const struct bad suspicious[] = {
	{A "window = 350s\ntime = 300s\n", {{4, "time + interval x (probes - 1) is 7min, not below window"}}},
	{A "window = 350s\ntime = 120s\ninterval = 60s\n", {{5, "less than 350s"}}},
	{A "window = 350s\nprobes = 100\n", {{4, "not below window"}}},
	{A "window = 350s\ntime = 50s\ninterval = 100s\nprobes = 4\n", {{6, "is 350s, not below window"}}},
	{A "window = 5s\n", {{3, "not below window"}}},
	{A "window = 350s\ntime = 120s\ninterval = 350s\nprobes = 1\n", {{5, "interval is not below window"}}},
	{A "[rule b]\ndestination = ::1\n[defaults]\nwindow = 1h\nprobes = 99\n", {{7, "not below window"}}},
	{A "time = 10min\nuser-timeout = 659s\n", {{4, "user-timeout is below time + interval: one lost probe would kill the connection (write at least 11min)"}}},
	{A "time = 10min\nuser-timeout = 659999ms\n", {{4, "user-timeout is below"}}},
	{A "port = 1-65535\n", {{3, "every TCP connection that this host opens is held, the kernel's own too"}}},
	{A "side = server\nport = 1-9, 10-65535\n", {{4, "that this host accepts is held"}}},
	{"[rule b]\ndestination = ::1, any\n[defaults]\nside = both\nport = 1-65535\n", {{5, "connection of this host is held"}}},
	{"[daemon]\nguard = yes\n", {{0, "no rules"}}},
	{"", {{0, "no rules"}}},
	{"# nothing\n", {{0, "no rules"}}},
};
/* clang-format on */

static void expect_messages(const struct conf_messages *messages, const struct bad *want,
			    bool warning)
{
	const struct conf_message *message;
	size_t i;

	print_message("---\n%s", want->text);
	for (i = 0; i < messages->n; i++)
		print_message("=> %u: %s\n", messages->list[i].line, messages->list[i].text);
	for (i = 0; i < MESSAGES_MAX && want->errors[i].fragment; i++) {
		assert_true(i < messages->n);
		message = &messages->list[i];
		assert_int_equal(message->line, want->errors[i].line);
		assert_non_null(strstr(message->text, want->errors[i].fragment));
		assert_int_equal(message->warning, warning);
		assert_string_equal(message->file, "t.conf");
		/* Each message says what to write instead, and is one line of plain text. */
		assert_non_null(strstr(message->text, " ("));
		assert_int_equal(message->text[strlen(message->text) - 1], ')');
		assert_null(strpbrk(message->text, "\n\r\t\x1b\x01"));
	}
	assert_int_equal(messages->n, i);
}

static void test_bad(void **state)
{
	struct conf_messages messages;
	struct config config = {.n_rules = 77};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(conf_parse_text("t.conf", bad[i].text, strlen(bad[i].text),
						 &config, &messages),
				 -EBADMSG);
		expect_messages(&messages, &bad[i], false);
		assert_int_equal(messages.n_errors, messages.n);
		assert_int_equal(config.n_rules, 77);
		conf_messages_free(&messages);
	}
}

static void test_suspicious(void **state)
{
	struct conf_messages messages;
	struct config config;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(suspicious); i++) {
		assert_int_equal(conf_parse_text("t.conf", suspicious[i].text,
						 strlen(suspicious[i].text), &config, &messages),
				 0);
		expect_messages(&messages, &suspicious[i], true);
		assert_int_equal(messages.n_errors, 0);
		conf_messages_free(&messages);
		config_free(&config);
	}
}

/* Values just within the limits give no message. */
static void test_just_enough(void **state)
{
	static const char *const enough[] = {
		A "window = 350s\ntime = 230s\n",
		A "window = 350s\ntime = 50s\ninterval = 100s\nprobes = 3\n",
		A "user-timeout = 220s\n",
		A "time = 10min\nuser-timeout = 660s\n",
		A "window = 1001ms\nprobes = 1\n",
		A "port = 2-65535\n",
		A "port = 1-65534\n",
		A "port = 1-9, 11-65535\n",
		A "port = 1-65535\nenforce = no\n",
		"[rule a]\ndestination = 10.0.0.0/8, db.x\nport = 1-65535\nside = both\n",
	};
	struct conf_messages messages;
	struct config config;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(enough); i++) {
		assert_int_equal(
			conf_parse_text("t.conf", enough[i], strlen(enough[i]), &config, &messages),
			0);
		assert_int_equal(messages.n, 0);
		config_free(&config);
	}
}

static void parse_bytes(const char *text, size_t size, const struct bad *want)
{
	struct conf_messages messages;
	struct config config;

	assert_int_equal(conf_parse_text("t.conf", text, size, &config, &messages), -EBADMSG);
	expect_messages(&messages, want, false);
	conf_messages_free(&messages);
}

static void test_nul(void **state)
{
	static const char value[] = A "port = 1\0\nside = x\n";
	static const char comment[] = A "# \0\n";
	static const char header[] = "[rule \0a]\nport = x\n" A;
	static const char ending[] = A "\0";
	const struct bad in_value = {"", {{3, "NUL byte"}, {4, "client, server or both"}}};
	const struct bad in_comment = {"", {{3, "NUL byte"}}};
	const struct bad in_header = {"", {{1, "NUL byte"}}};

	(void)state;
	parse_bytes(value, sizeof(value) - 1, &in_value);
	parse_bytes(comment, sizeof(comment) - 1, &in_comment);
	parse_bytes(header, sizeof(header) - 1, &in_header);
	parse_bytes(ending, sizeof(ending) - 1, &in_comment);
}

static void test_over_long(void **state)
{
	const struct bad want = {"",
				 {{3, "line of 4096 bytes is too long (write at most 4095)"},
				  {5, "is too long"},
				  {6, "unknown key"}}};
	_cleanup_free_ char *text = calloc(1, 20000);
	char *p = text;

	(void)state;
	assert_non_null(text);
	p += sprintf(p, A "port = 1");
	while (p < text + strlen(A) + 4096)
		*p++ = ' ';
	p += sprintf(p, "\nside = client\n#");
	memset(p, '#', 9000);
	p += 9000;
	sprintf(p, "\nfoo = 1\n");
	parse_bytes(text, strlen(text), &want);
}

/* Values are parsed as a whole, however long they are. */
static void test_not_cut(void **state)
{
	const struct bad host = {"", {{2, "is no destination"}}};
	const struct bad port = {"", {{3, "is no port"}}};
	_cleanup_free_ char *text = calloc(1, 8192);
	size_t size, i;

	(void)state;
	assert_non_null(text);
	for (size = 100; size < 500; size += 7) {
		sprintf(text, "[rule a]\ndestination = ");
		for (i = 0; i < size; i++)
			strcat(text, i % 40 ? "x" : i ? "." : "x");
		strcat(text, "!\n");
		parse_bytes(text, strlen(text), &host);

		sprintf(text, A "port = 5");
		for (i = 0; i < size; i++)
			strcat(text, " ");
		strcat(text, "5\n");
		parse_bytes(text, strlen(text), &port);

		sprintf(text, A "port = 5");
		for (i = 0; i < size; i++)
			strcat(text, i % 2 ? "#" : ";");
		strcat(text, "\n");
		parse_bytes(text, strlen(text), &port);
	}
}

/* Host names may have labels of 63 characters, and 253 characters in all, but not more. */
static void test_long_names(void **state)
{
	const struct bad want = {"", {{2, "is no destination"}}};
	char label[65], name[256], text[512];
	struct conf_messages messages;
	struct config config;
	size_t size;

	(void)state;
	memset(label, 'x', sizeof(label) - 1);
	label[64] = '\0';
	snprintf(text, sizeof(text), "[rule a]\ndestination = y.%s.z\n", label);
	parse_bytes(text, strlen(text), &want);
	snprintf(text, sizeof(text), "[rule a]\ndestination = y.%s.z\n", label + 1);
	assert_int_equal(conf_parse_text("t.conf", text, strlen(text), &config, &messages), 0);
	config_free(&config);

	for (size = 253; size <= 254; size++) {
		memset(name, 'x', size);
		name[50] = name[100] = name[150] = name[200] = '.';
		name[size] = '\0';
		snprintf(text, sizeof(text), "[rule a]\ndestination = %s\n", name);
		if (size == 254) {
			parse_bytes(text, strlen(text), &want);
			break;
		}
		assert_int_equal(conf_parse_text("t.conf", text, strlen(text), &config, &messages),
				 0);
		assert_string_equal(config.rules[0].destinations[0].name, name);
		config_free(&config);
	}
}

/* Parses ten thousand valid rules, and then the same with an invalid one added. */
static void test_many(void **state)
{
	const size_t n = 10000;
	_cleanup_free_ char *text = malloc(100 * (n + 1));
	struct conf_messages messages;
	struct config config;
	clock_t start;
	size_t used = 0, i;

	(void)state;
	assert_non_null(text);
	for (i = 0; i < n; i++)
		used += (size_t)sprintf(text + used, "[rule r%zu]\ndestination = 10.%zu.%zu.0/24\n",
					i, i / 256, i % 256);
	start = clock();
	assert_int_equal(conf_parse_text("t.conf", text, used, &config, &messages), 0);
	assert_int_equal(config.n_rules, n);
	conf_messages_free(&messages);
	config_free(&config);

	used += (size_t)sprintf(text + used, "[rule r5]\ndestination = 10.39.15.0/24\n");
	assert_int_equal(conf_parse_text("t.conf", text, used, &config, &messages), -EBADMSG);
	assert_int_equal(messages.n, 2);
	assert_int_equal(messages.list[0].line, 20001);
	assert_non_null(strstr(messages.list[0].text, "t.conf:11 has"));
	assert_int_equal(messages.list[1].line, 20002);
	assert_non_null(strstr(messages.list[1].text, "rule \"r9999\" at t.conf:19999"));
	conf_messages_free(&messages);
	/* Many seconds would mean that something is quadratic; sanitizers are slow, too. */
	assert_true(clock() - start < 3 * CLOCKS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad),	    cmocka_unit_test(test_suspicious),
		cmocka_unit_test(test_just_enough), cmocka_unit_test(test_nul),
		cmocka_unit_test(test_over_long),   cmocka_unit_test(test_not_cut),
		cmocka_unit_test(test_long_names),  cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
