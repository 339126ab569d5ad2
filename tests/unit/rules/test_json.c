// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests rules as JSON. */
#include "unit.h"

#include "base/util.h"
#include "conf/conf.h"
#include "rules/json.h"

#include <json-c/json.h>
#include <string.h>

static void test_json(void **state)
{
	static const char want[] =
		"{\"name\":\"orders-db\",\"destination\":[\"any\",\"10.20.0.0/16\",\"1.2.3.4\","
		"\"2001:db8::/32\",\"db.x\"],\"port\":[3306,\"33060-33062\"],\"side\":\"both\","
		"\"window\":350,\"window_auto\":false,\"time\":120,\"interval\":30,\"probes\":4,"
		"\"user_timeout\":null,"
		"\"override\":\"when-longer\",\"enforce\":true}";
	struct json_object *object, *value;
	struct conf_messages messages;
	struct config config;
	static const char text[] =
		"[rule orders-db]\ndestination = any, 10.20.0.0/16, 1.2.3.4/32, 2001:db8::/32, "
		"db.x\n"
		"port = 33060-33062, 3306\nside = both\nwindow = 350s\ntime = 2min\n"
		"interval = 30s\nprobes = 4\n"
		"[rule b]\ndestination = ::1\nwindow = 100500ms\nuser-timeout = 1min\n"
		"enforce = no\noverride = never\n";

	(void)state;
	assert_int_equal(conf_parse_text("t", text, strlen(text), &config, &messages), 0);
	conf_messages_free(&messages);
	object = rule_to_json(&config.rules[0]);
	assert_string_equal(
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE),
		want);
	json_object_put(object);
	object = rule_to_json(&config.rules[1]);
	assert_true(json_object_object_get_ex(object, "window", &value));
	assert_string_equal(json_object_to_json_string(value), "100.5");
	assert_true(json_object_object_get_ex(object, "user_timeout", &value));
	assert_int_equal(json_object_get_int(value), 60000);
	assert_true(json_object_object_get_ex(object, "enforce", &value));
	assert_false(json_object_get_boolean(value));
	json_object_put(object);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
