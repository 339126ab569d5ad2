// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests that the port bitmap has the same ports as the trie, on both sides. */
#include "unit.h"

#include "conf/conf.h"
#include "kernel/port_bitmap.h"
#include "rules/lpm.h"

static bool in_bitmap(const struct hf_port_bitmap *gate, enum hf_side side, uint32_t port)
{
	return gate->ports[side][port / 64] >> port % 64 & 1;
}

static void check(const char *text)
{
	struct conf_messages messages = {0};
	struct rule_entry *entries;
	struct hf_port_bitmap gate = {0};
	struct config config;
	struct error e;
	struct lpm *lpm;
	uint32_t port;
	size_t n;
	int side;

	assert_int_equal(conf_parse_text("test", text, strlen(text), &config, &messages), 0);
	assert_int_equal(rules_compile(&config, 1, &entries, &n, &e), 0);
	port_bitmap_add(&gate, entries, n);
	lpm = lpm_new(entries, n);
	assert_non_null(lpm);
	for (port = 0; port <= 0xffff; port++) {
		const union hf_value *value;
		struct hf_key key;

		hf_key_port(&key, (uint16_t)port, 16);
		value = lpm_lookup(lpm, &key);
		for (side = 0; side < 2; side++)
			assert_int_equal(in_bitmap(&gate, (enum hf_side)side, port),
					 value && value->ports.class_[side]);
	}
	lpm_free(lpm);
	free(entries);
	config_free(&config);
	conf_messages_free(&messages);
}

static void test_ports(void **state)
{
	(void)state;
	check("[rule a]\ndestination = any\n");
	check("[rule a]\ndestination = any\nport = 1-65535\nside = both\n");
	check("[rule a]\ndestination = any\nport = 1, 65535\n"
	      "[rule b]\ndestination = 10.0.0.0/8\nport = 100-200, 8000-9000\nside = server\n"
	      "[rule c]\ndestination = 10.1.0.0/16\nport = 150-8500\nside = both\n"
	      "[rule d]\ndestination = 10.2.0.0/16\nport = 3306\nenforce = no\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
