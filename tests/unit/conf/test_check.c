// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "base/util.h"
#include "conf/check.h"

#include <errno.h>
#include <json-c/json.h>

static const char sound[] = "[daemon]\nguard = no\nreconcile = 5min\n"
			    "metrics-textfile = /m/h.prom\n"
			    "[rule orders-db]\ndestination = 10.20.0.0/16, db.x\n"
			    "port = 3306, 33060-33062\nwindow = 350s\ntime = 300s\n"
			    "[rule lab]\ndestination = ::1\nenforce = no\nuser-timeout = 1500ms\n"
			    "side = both\noverride = always\n";

static void test_table(void **state)
{
	static const char want[] =
		"NAME      DESTINATION        PORT              SIDE   WINDOW TIME "
		"INTERVAL PROBES USER-TIMEOUT OVERRIDE    ENFORCE\n"
		"orders-db 10.20.0.0/16, db.x 3306, 33060-33062 client   350s 5min "
		"     30s      5          off when-longer yes\n"
		"lab       ::1                3306              both     auto 200s "
		"     20s      5     1s 500ms always      no\n";
	struct conf_messages messages;
	struct config config;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	assert_int_equal(conf_parse_text("t", sound, strlen(sound), &config, &messages), 0);
	assert_int_equal(check_print_rules(&config, out), 0);
	fclose(out);
	assert_string_equal(text, want);
	free(text);
	conf_messages_free(&messages);
	config_free(&config);
}

static void test_json(void **state)
{
	struct json_object *object, *value, *item;
	struct conf_messages messages;
	struct config config;

	(void)state;
	assert_int_equal(conf_parse_text("t.conf", sound, strlen(sound), &config, &messages), 0);
	object = check_to_json(&config, &messages);
	assert_true(json_object_object_get_ex(object, "guard", &value));
	assert_true(json_object_is_type(value, json_type_boolean));
	assert_false(json_object_get_boolean(value));
	assert_true(json_object_object_get_ex(object, "reconcile", &value));
	assert_int_equal(json_object_get_int(value), 300);
	assert_true(json_object_object_get_ex(object, "metrics_textfile", &value));
	assert_string_equal(json_object_get_string(value), "/m/h.prom");
	assert_true(json_object_object_get_ex(object, "rules", &value));
	assert_int_equal(json_object_array_length(value), 2);
	assert_true(json_object_object_get_ex(object, "errors", &value));
	assert_int_equal(json_object_array_length(value), 0);
	assert_true(json_object_object_get_ex(object, "warnings", &value));
	assert_int_equal(json_object_array_length(value), 1);
	value = json_object_array_get_idx(value, 0);
	assert_true(json_object_object_get_ex(value, "file", &item));
	assert_string_equal(json_object_get_string(item), "t.conf");
	assert_true(json_object_object_get_ex(value, "line", &item));
	assert_int_equal(json_object_get_int(item), 9);
	assert_true(json_object_object_get_ex(value, "message", &item));
	assert_non_null(strstr(json_object_get_string(item), "not below window"));
	json_object_put(object);
	conf_messages_free(&messages);
	config_free(&config);
}

static void test_errors(void **state)
{
	static const char bad[] = "x = 1\n[rule a]\nport = 0\n";
	struct conf_messages messages;
	struct json_object *object;
	struct config config;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_non_null(out);
	assert_int_equal(conf_parse_text("t.conf", bad, strlen(bad), &config, &messages), -EBADMSG);
	assert_int_equal(check_print_messages(&messages, out), 0);
	fclose(out);
	assert_string_equal(
		text,
		"t.conf:1: error: key \"x\" is outside any section (write [daemon], [defaults] or "
		"[rule NAME] above it)\n"
		"t.conf:2: error: rule \"a\" has no destination (write destination = any, an "
		"address, a prefix or a host name)\n"
		"t.conf:3: error: port: port 0 is out of range (write 1 to 65535)\n");
	free(text);

	object = check_to_json(NULL, &messages);
	assert_string_equal(
		json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN),
		"{\"guard\":null,\"reconcile\":null,\"metrics_textfile\":null,\"rules\":[],"
		"\"errors\":["
		"{\"file\":\"t.conf\",\"line\":1,\"message\":\"key \\\"x\\\" is outside any "
		"section "
		"(write [daemon], [defaults] or [rule NAME] above it)\"},"
		"{\"file\":\"t.conf\",\"line\":2,\"message\":\"rule \\\"a\\\" has no destination "
		"(write destination = any, an address, a prefix or a host name)\"},"
		"{\"file\":\"t.conf\",\"line\":3,\"message\":\"port: port 0 is out of range (write "
		"1 to 65535)\"}],\"warnings\":[]}");
	json_object_put(object);
	conf_messages_free(&messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
