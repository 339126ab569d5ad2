// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests which text of someone else is shown as it is, and which is escaped. */
#include "unit.h"

#include "base/text.h"
#include "base/util.h"

#include <stdbool.h>

static void test_cases(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"plain \"text\"", "plain \"text\""},
		{"a\nb\tc\x1b[31m\x7f", "a\\x0ab\\x09c\\x1b[31m\\x7f"},
		{"gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x90\x98",
		 "gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x90\x98"},
		{"\xff\xc3", "\\xff\\xc3"},
		{"\xc0\x80\xed\xa0\x80", "\\xc0\\x80\\xed\\xa0\\x80"},
		{"\xc2\x9b"
		 "31m",
		 "\\xc2\\x9b31m"},
		{"\xe2\x80\xae", "\\xe2\\x80\\xae"},
		/* Overlong encodings, and numbers beyond Unicode. */
		{"\xc1\xbf", "\\xc1\\xbf"},
		{"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},
		{"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},
		/* Characters that the end or another byte cuts off. */
		{"\xe2\x82", "\\xe2\\x82"},
		{"\xf0\x9f\x90", "\\xf0\\x9f\\x90"},
		{"\xe2\x82z", "\\xe2\\x82z"},
		{"\xc3(", "\\xc3("},
		{"\x80", "\\x80"},
	};
	char out[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(text_escape(out, sizeof(out), cases[i].in, strlen(cases[i].in)),
				    cases[i].out);
	assert_string_equal(text_escape(out, sizeof(out), "a\0b", 3), "a\\x00b");
	/* A byte behind the end is no part of the last character. */
	assert_string_equal(text_escape(out, sizeof(out), "\xc3\xbc", 1), "\\xc3");
}

static void test_room(void **state)
{
	char small[10], whole[TEXT_ESCAPED_MAX(2)];

	(void)state;
	assert_string_equal(text_escape(small, sizeof(small), "123456789", 9), "123456789");
	assert_string_equal(text_escape(small, sizeof(small), "1234567890", 10), "123456...");
	assert_string_equal(text_escape(small, sizeof(small), "1234\n67890", 10), "1234...");
	/* No character is cut in two. */
	assert_string_equal(text_escape(small, sizeof(small), "12345\xc3\xbc\xc3\xbc\xc3\xbc", 11),
			    "12345...");
	assert_string_equal(text_escape(whole, sizeof(whole), "\n\n", 2), "\\x0a\\x0a");
}

static size_t encode(uint32_t c, char out[4])
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* All of Unicode is shown, except for what moves the cursor, ends a line, changes the direction of
 * writing, or is no character. */
static void test_every_character(void **state)
{
	static const struct {
		uint32_t first, last;
	} hidden[] = {
		{0x0, 0x1f},	      /* C0 */
		{0x7f, 0x9f},	      /* DEL, C1 */
		{0x2028, 0x202e},     /* line and paragraph separators; embeddings, overrides */
		{0x2066, 0x2069},     /* isolates */
		{0xd800, 0xdfff},     /* surrogates */
		{0x110000, 0x1fffff}, /* beyond Unicode */
	};
	char in[4], out[TEXT_ESCAPED_MAX(4)];
	uint32_t c, mask = 0;
	size_t size, i = 0;

	(void)state;
	for (c = 0; c <= 0x1fffff; c++) {
		while (i < ARRAY_SIZE(hidden) && c > hidden[i].last)
			i++;
		size = encode(c, in);
		text_escape(out, sizeof(out), in, size);
		if (i < ARRAY_SIZE(hidden) && c >= hidden[i].first) {
			if (strlen(out) != 4 * size)
				fail_msg("U+%04X is shown", c);
			mask |= 1u << i;
		} else if (strlen(out) != size || memcmp(out, in, size) != 0) {
			fail_msg("U+%04X isn't shown", c);
		}
	}
	assert_int_equal(mask, (1u << ARRAY_SIZE(hidden)) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_every_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
