// SPDX-License-Identifier: GPL-2.0-or-later
/* What a report says in place of addresses and names. */
#include "unit.h"

#include "base/util.h"
#include "show/pseudonyms.h"

#include <stdlib.h>
#include <string.h>

static char *in_text(struct pseudonyms *names, const char *text)
{
	char *written;
	size_t size;
	FILE *out = open_memstream(&written, &size);

	assert_non_null(out);
	pseudonyms_in_text(names, text, out);
	assert_int_equal(fclose(out), 0);
	return written;
}

/* Lines of the log and messages about configurations. */
static void test_text(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"rule orders-db: 10.0.0.1:48488 to 10.0.0.2:3306, python3[12]: closed by the "
		 "server",
		 "rule rule-1: ip4-1:48488 to ip4-2:3306, command-1[12]: closed by the server"},
		{"rule orders-db: [fd00::1]:5 to [2001:DB8::2]:3306, my app[7]: reset",
		 "rule rule-1: [ip6-1]:5 to [ip6-2]:3306, command-2[7]: reset"},
		{"rule lab says window = 1h, but", "rule rule-2 says window = 1h, but"},
		{"rule lab, network namespace 4026531840: 7 more connections have ended meanwhile",
		 "rule rule-2, network namespace 4026531840: 7 more connections have ended "
		 "meanwhile"},
		{"ready: 1 rule in force", "ready: 1 rule in force"},
		{"host name db.internal.example is 10.0.0.2, 2001:db8:0::2, ::ffff:10.0.0.1 now",
		 "host name host-1 is ip4-2, ip6-2, ::ffff:ip4-1 now"},
		{"looking up host name db.internal.example fails: no answer (it is tried again)",
		 "looking up host name host-1 fails: no answer (it is tried again)"},
		{"3 host names have no answer yet; going on without",
		 "3 host names have no answer yet; going on without"},
		{"someone has detached the guard from the cgroup /sys/fs/cgroup: attached again",
		 "someone has detached the guard from the cgroup /sys/fs/cgroup: attached again"},
		{"from the cgroup /sys/fs/cgroup/payroll.slice: attached",
		 "from the cgroup file-1: attached"},
		{"/etc/holdfast/holdfast.conf.d/50-payroll.conf:7: error: unknown key \"payrol\" "
		 "(write port)",
		 "file-2:7: error: unknown key \"text-1\" (write port)"},
		{"prefix 10.0.0.1/24 has host bits set (write 10.0.0.0/24).",
		 "prefix ip4-1/24 has host bits set (write ip4-3/24)."},
		{"127.0.0.1, ::1, 0.0.0.0 and :: say nothing",
		 "127.0.0.1, ::1, 0.0.0.0 and :: say nothing"},
		{"The end: 10.0.0.2.", "The end: ip4-2."},
		{"at 12:34:56, 6.12.118-amd64 can't be; it isn't 1.2.3; abad1dea",
		 "at 12:34:56, 6.12.118-amd64 can't be; it isn't 1.2.3; abad1dea"},
		{"'/srv/x y' isn't; don't", "'text-2' isn't; don't"},
		{"an open \"quotation", "an open \"quotation"},
		{"/proc/self/ns/pid: Permission denied", "/proc/self/ns/pid: Permission denied"},
		{"", ""},
	};
	struct pseudonyms names = {0};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		char *shown = in_text(&names, cases[i].text);

		assert_string_equal(shown, cases[i].shown);
		free(shown);
	}
	pseudonyms_free(&names);
}

/* Values by their keys; what says nothing stays. */
static void test_json(void **state)
{
	static const char given[] =
		"{ \"rules\": [ { \"name\": \"client\", \"destination\": [ \"any\", "
		"\"10.0.0.0/8\", "
		"\"db.x\", \"2001:db8::/32\" ], \"side\": \"client\", \"time\": 60 } ], "
		"\"sockets\": "
		"[ { \"local\": \"10.0.0.0\", \"peer\": \"::ffff:10.9.9.9\", \"rule\": \"client\", "
		"\"cgroup\": \"/pay\\\"roll\", \"verdict\": \"held\", \"processes\": [ { \"pid\": "
		"7, "
		"\"command\": \"payd\" } ] }, { \"cgroup\": null, \"peer\": \"127.0.0.1\" } ], "
		"\"cgroup\": \"/\", \"metrics_textfile\": \"/srv/pay.prom\" }\n";
	static const char shown[] =
		"{ \"rules\": [ { \"name\": \"rule-1\", \"destination\": [ \"any\", \"ip4-1/8\", "
		"\"host-1\", \"ip6-1/32\" ], \"side\": \"client\", \"time\": 60 } ], \"sockets\": "
		"[ { \"local\": \"ip4-1\", \"peer\": \"::ffff:ip4-2\", \"rule\": \"rule-1\", "
		"\"cgroup\": \"cgroup-1\", \"verdict\": \"held\", \"processes\": [ { \"pid\": 7, "
		"\"command\": \"command-1\" } ] }, { \"cgroup\": null, \"peer\": \"127.0.0.1\" } "
		"], "
		"\"cgroup\": \"/\", \"metrics_textfile\": \"file-1\" }\n";
	struct pseudonyms names = {0};
	char *written;
	size_t size;
	FILE *out = open_memstream(&written, &size);

	(void)state;
	assert_non_null(out);
	pseudonyms_in_json(&names, given, out);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(written, shown);
	free(written);
	pseudonyms_free(&names);
}

static void test_metrics(void **state)
{
	struct pseudonyms names = {0};
	char *written, name[PSEUDONYM_MAX];
	size_t size;
	FILE *out = open_memstream(&written, &size);

	(void)state;
	assert_non_null(out);
	pseudonym_for(&names, PSEUDONYM_RULE, "b", 1, name);
	pseudonyms_in_metrics(
		&names,
		"# HELP x A rule.\nx{rule=\"a\",verdict=\"held\"} 1\nx{rule=\"b\"} 2\ny 3\n", out);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(written, "# HELP x A rule.\nx{rule=\"rule-2\",verdict=\"held\"} "
				     "1\nx{rule=\"rule-1\"} 2\ny 3\n");
	free(written);
	pseudonyms_free(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
