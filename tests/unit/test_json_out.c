// SPDX-License-Identifier: GPL-2.0-or-later
/* What is written as it comes reads as json-c would have laid it out. */
#include "unit.h"

#include "../../daemon/json_out.h"

#include <json-c/json.h>

struct written {
	struct json_out json;
	char *text;
	size_t size;
};

static void begin(struct written *written)
{
	*written = (struct written){0};
	written->json.out = open_memstream(&written->text, &written->size);
	assert_non_null(written->json.out);
}

/* The layout must be the one of json-c for what it means. */
static void end(struct written *written, const char *meaning)
{
	struct json_object *object = json_tokener_parse(meaning);

	assert_non_null(object);
	assert_int_equal(fclose(written->json.out), 0);
	assert_string_equal(written->text,
			    json_object_to_json_string_ext(
				    object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
	free(written->text);
}

static void test_layout(void **state)
{
	struct written w;

	(void)state;
	begin(&w);
	json_out_open(&w.json, NULL, '{');
	json_out_open(&w.json, "some", '[');
	json_out_open(&w.json, NULL, '{');
	json_out_number(&w.json, "a", 0);
	json_out_number(&w.json, "b", UINT64_MAX);
	json_out_bool(&w.json, "c", true);
	json_out_close(&w.json, '}');
	json_out_text(&w.json, NULL, "x");
	json_out_close(&w.json, ']');
	json_out_null(&w.json, "d");
	json_out_close(&w.json, '}');
	end(&w, "{\"some\":[{\"a\":0,\"b\":18446744073709551615,\"c\":true},\"x\"],"
		"\"d\":null}");
}

/* json-c has changed its mind about these: from 0.18 on they are on one line. */
static void test_empty(void **state)
{
	struct written w;

	(void)state;
	begin(&w);
	json_out_open(&w.json, NULL, '{');
	json_out_open(&w.json, "none", '[');
	json_out_close(&w.json, ']');
	json_out_close(&w.json, '}');
	assert_int_equal(fclose(w.json.out), 0);
	assert_string_equal(w.text, "{\n  \"none\": [\n  ]\n}");
	free(w.text);
}

static void test_text(void **state)
{
	struct written w;

	(void)state;
	begin(&w);
	json_out_open(&w.json, NULL, '{');
	json_out_text(&w.json, "plain", "/system.slice/app.service");
	json_out_text(&w.json, "escaped", "say \"\\x1b\" \\ \x01\x1f/");
	json_out_text(&w.json, "utf8", "gr\xc3\xbc\xc3\x9f");
	json_out_text(&w.json, "none", NULL);
	json_out_close(&w.json, '}');
	end(&w, "{\"plain\":\"/system.slice/app.service\","
		"\"escaped\":\"say \\\"\\\\x1b\\\" \\\\ \\u0001\\u001f/\","
		"\"utf8\":\"gr\xc3\xbc\xc3\x9f\",\"none\":null}");
}

/* Longer than what is gathered before it is handed on; in pieces, and in one. */
static void test_long(void **state)
{
	char *meaning = NULL, word[10001] = {0};
	struct written w;
	size_t size;
	FILE *out;
	int i;

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	out = open_memstream(&meaning, &size);
	assert_non_null(out);
	begin(&w);
	json_out_open(&w.json, NULL, '[');
	for (i = 0; i < 2000; i++) {
		json_out_number(&w.json, NULL, (uint64_t)i);
		fprintf(out, "%s%d", i ? "," : "[", i);
	}
	json_out_text(&w.json, NULL, word);
	json_out_close(&w.json, ']');
	fprintf(out, ",\"%s\"]", word);
	fclose(out);
	end(&w, meaning);
	free(meaning);
}

static void test_seconds(void **state)
{
	static const struct {
		int64_t ms;
		const char *text;
	} cases[] = {
		{0, "0"},
		{1, "0.001"},
		{10, "0.01"},
		{100, "0.1"},
		{999, "0.999"},
		{1000, "1"},
		{43200, "43.2"},
		{599512, "599.512"},
		{-1, "-0.001"},
		{-3600000, "-3600"},
		{-43250, "-43.25"},
		{600050, "600.05"},
		{INT64_MAX, "9223372036854775.807"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct written w;
		char text[64];

		begin(&w);
		json_out_open(&w.json, NULL, '[');
		json_out_seconds(&w.json, NULL, cases[i].ms);
		json_out_close(&w.json, ']');
		assert_int_equal(fclose(w.json.out), 0);
		snprintf(text, sizeof(text), "[\n  %s\n]", cases[i].text);
		assert_string_equal(w.text, text);
		free(w.text);
	}
}

static void test_object(void **state)
{
	struct json_object *object = json_tokener_parse("{\"a\":[1,2],\"b\":{}}");
	struct written w;

	(void)state;
	begin(&w);
	json_out_open(&w.json, NULL, '{');
	assert_int_equal(json_out_object(&w.json, "first", object), 0);
	assert_int_equal(json_out_object(&w.json, "second", object), 0);
	json_out_close(&w.json, '}');
	end(&w, "{\"first\":{\"a\":[1,2],\"b\":{}},\"second\":{\"a\":[1,2],\"b\":{}}}");
	json_object_put(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),	cmocka_unit_test(test_empty),
		cmocka_unit_test(test_text),	cmocka_unit_test(test_long),
		cmocka_unit_test(test_seconds), cmocka_unit_test(test_object),
	};

	return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
