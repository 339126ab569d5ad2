// SPDX-License-Identifier: GPL-2.0-or-later
/* Compares the text that json_stream writes with that of json-c. */
#include "unit.h"

#include "base/json_stream.h"

#include <json-c/json.h>

struct written {
	struct json_stream json;
	char *text;
	size_t size;
};

static void begin(struct written *written)
{
	*written = (struct written){0};
	written->json.out = open_memstream(&written->text, &written->size);
	assert_non_null(written->json.out);
}

/* Checks that the text written is json-c's for the value that `meaning` describes. */
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
	json_stream_open(&w.json, NULL, '{');
	json_stream_open(&w.json, "some", '[');
	json_stream_open(&w.json, NULL, '{');
	json_stream_number(&w.json, "a", 0);
	json_stream_number(&w.json, "b", UINT64_MAX);
	json_stream_bool(&w.json, "c", true);
	json_stream_close(&w.json, '}');
	json_stream_text(&w.json, NULL, "x");
	json_stream_close(&w.json, ']');
	json_stream_null(&w.json, "d");
	json_stream_close(&w.json, '}');
	end(&w, "{\"some\":[{\"a\":0,\"b\":18446744073709551615,\"c\":true},\"x\"],"
		"\"d\":null}");
}

/* Checks empty lists without json-c as reference, which writes them in one line since 0.18. */
static void test_empty(void **state)
{
	struct written w;

	(void)state;
	begin(&w);
	json_stream_open(&w.json, NULL, '{');
	json_stream_open(&w.json, "none", '[');
	json_stream_close(&w.json, ']');
	json_stream_close(&w.json, '}');
	assert_int_equal(fclose(w.json.out), 0);
	assert_string_equal(w.text, "{\n  \"none\": [\n  ]\n}");
	free(w.text);
}

static void test_text(void **state)
{
	struct written w;

	(void)state;
	begin(&w);
	json_stream_open(&w.json, NULL, '{');
	json_stream_text(&w.json, "plain", "/system.slice/app.service");
	json_stream_text(&w.json, "escaped", "say \"\\x1b\" \\ \x01\x1f/");
	json_stream_text(&w.json, "utf8", "gr\xc3\xbc\xc3\x9f");
	json_stream_text(&w.json, "none", NULL);
	json_stream_close(&w.json, '}');
	end(&w, "{\"plain\":\"/system.slice/app.service\","
		"\"escaped\":\"say \\\"\\\\x1b\\\" \\\\ \\u0001\\u001f/\","
		"\"utf8\":\"gr\xc3\xbc\xc3\x9f\",\"none\":null}");
}

/* Writes more than the buffer holds, in many pieces and in one. */
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
	json_stream_open(&w.json, NULL, '[');
	for (i = 0; i < 2000; i++) {
		json_stream_number(&w.json, NULL, (uint64_t)i);
		fprintf(out, "%s%d", i ? "," : "[", i);
	}
	json_stream_text(&w.json, NULL, word);
	json_stream_close(&w.json, ']');
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
		json_stream_open(&w.json, NULL, '[');
		json_stream_seconds(&w.json, NULL, cases[i].ms);
		json_stream_close(&w.json, ']');
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
	json_stream_open(&w.json, NULL, '{');
	assert_int_equal(json_stream_object(&w.json, "first", object), 0);
	assert_int_equal(json_stream_object(&w.json, "second", object), 0);
	json_stream_close(&w.json, '}');
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
