// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests how the addresses of host names get into a configuration. */
#include "rounds.h"

#include "base/util.h"
#include "conf/conf.h"
#include "names/host_names.h"

#include <string.h>

static void parse(struct config *config, const char *text)
{
	struct conf_messages messages;

	assert_int_equal(conf_parse_text("t", text, strlen(text), config, &messages), 0);
	conf_messages_free(&messages);
}

static size_t count(const struct name *names)
{
	size_t n = 0;

	for (; names; names = names->next)
		n++;
	return n;
}

static struct name *get(struct name *names, const char *text)
{
	while (names && strcmp(names->text, text) != 0)
		names = names->next;
	assert_non_null(names);
	return names;
}

static void test_names(void **state)
{
	struct config config, other;
	struct name *names = NULL;
	uint32_t again_s;
	struct error e;

	(void)state;
	parse(&config, "[rule a]\ndestination = db.example, 10.9.0.0/16, other.example\n"
		       "[rule b]\ndestination = DB.Example\nport = 7\n");
	assert_int_equal(names_set(&names, &config, 1, &e), 0);
	assert_int_equal(count(names), 2); /* case doesn't matter */
	round_of(&get(names, "db.example")->known, "10.0.0.2 10.0.0.1", "fd77::1", &again_s);
	assert_int_equal(names_fill(names, &config, &e), 0);
	assert_int_equal(config.rules[0].destinations[0].n_resolved, 3);
	assert_int_equal(config.rules[0].destinations[2].n_resolved, 0);
	assert_int_equal(config.rules[1].destinations[0].n_resolved, 3);
	assert_int_equal(config.rules[1].destinations[0].resolved[1].addr[3], 2);

	/* Known names are kept. Unwanted names are removed once their look-up has ended. */
	get(names, "other.example")->looking = true;
	parse(&other, "[rule a]\ndestination = db.EXAMPLE\n");
	assert_int_equal(names_set(&names, &other, 1, &e), 0);
	assert_int_equal(count(names), 2);
	get(names, "other.example")->looking = false;
	names_remove_unwanted(&names, 1);
	assert_int_equal(count(names), 1);
	assert_int_equal(names_fill(names, &other, &e), 0);
	assert_int_equal(other.rules[0].destinations[0].n_resolved, 3);
	assert_int_equal(names_fill(names, &other, &e), 0);
	names_free(&names);
	assert_null(names);

	/* A new name takes the addresses that the configuration has. */
	assert_int_equal(names_set(&names, &config, 1, &e), 0);
	expect_known(&get(names, "db.example")->known, "10.0.0.1 10.0.0.2 fd77::1");
	/* An answer adds to adopted addresses. */
	assert_int_equal(round_of(&get(names, "db.example")->known, "10.0.0.7", "", &again_s),
			 KNOWN_CHANGED);
	assert_int_equal(names_set(&names, &config, 1, &e), 0);
	expect_known(&get(names, "db.example")->known, "10.0.0.1 10.0.0.2 10.0.0.7 fd77::1");
	assert_int_equal(names_fill(names, &config, &e), 0);
	assert_int_equal(config.rules[1].destinations[0].n_resolved, 4);

	config_free(&other);
	config_free(&config);
	names_free(&names);
}

/* A name that comes back within the hour has its addresses, and is looked up at once. */
static void test_dropped(void **state)
{
	struct config config, other;
	struct name *names = NULL;
	uint32_t again_s;
	struct error e;

	(void)state;
	parse(&config, "[rule a]\ndestination = db.example, none.example\n");
	parse(&other, "[rule a]\ndestination = any\n");
	assert_int_equal(names_set(&names, &config, 1, &e), 0);
	round_of(&get(names, "db.example")->known, "10.0.0.1", "", &again_s);
	get(names, "db.example")->tried = true;
	get(names, "db.example")->due_us = 7;
	assert_int_equal(names_set(&names, &config, 2, &e), 0);
	assert_true(get(names, "db.example")->tried); /* it wasn't dropped */
	assert_int_equal(get(names, "db.example")->due_us, 7);

	assert_int_equal(names_set(&names, &other, 5, &e), 0);
	assert_int_equal(count(names), 1); /* nothing was known of the other one */
	assert_false(names->wanted);
	assert_int_equal(names_set(&names, &other, 4 + KNOWN_KEEP_US, &e), 0);
	assert_int_equal(count(names), 1);
	assert_int_equal(names_set(&names, &config, 4 + KNOWN_KEEP_US, &e), 0);
	assert_true(get(names, "db.example")->wanted);
	assert_false(get(names, "db.example")->tried);
	assert_int_equal(get(names, "db.example")->due_us, 0);
	expect_known(&get(names, "db.example")->known, "10.0.0.1");
	names_remove_unwanted(&names, UINT64_MAX);
	assert_int_equal(count(names), 2);

	assert_int_equal(names_set(&names, &other, 9, &e), 0);
	names_remove_unwanted(&names, 9 + KNOWN_KEEP_US);
	assert_null(names);
	config_free(&other);
	config_free(&config);
}

/* What is kept of dropped names is limited; those that were dropped last stay. */
static void test_most_dropped(void **state)
{
	const size_t each = 1000;
	struct name *names = NULL;
	struct config config;
	struct error e;
	char text[64];
	size_t i, j;

	(void)state;
	for (i = 0; i < 30; i++) {
		struct prefix *list = calloc(each, sizeof(*list));

		snprintf(text, sizeof(text), "[rule a]\ndestination = db%zu.example\n", i);
		parse(&config, text);
		for (j = 0; j < each; j++)
			list[j] = (struct prefix){.family = 4,
						  .len = 32,
						  .addr = {10, 0, (uint8_t)(j >> 8), (uint8_t)j}};
		config.rules[0].destinations[0].resolved = list;
		config.rules[0].destinations[0].n_resolved = each;
		assert_int_equal(names_set(&names, &config, 1 + i, &e), 0);
		config_free(&config);
	}
	assert_int_equal(count(names), NAMES_KEEP_MOST / each + 1);
	get(names, "db29.example");
	get(names, "db28.example");
	names_free(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_most_dropped),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
