// SPDX-License-Identifier: GPL-2.0-or-later
/* Fuzzes addresses, prefixes, host names and port ranges of the configuration. */
#include "fuzz.h"

#include "conf/value.h"

static void check_prefix(const struct prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];
	struct prefix again;
	struct error e;

	check(prefix->family == 4 || prefix->family == 6);
	check(prefix->len <= (prefix->family == 4 ? 32 : 128));
	check(prefix_contains(prefix, prefix->family, prefix->addr));
	prefix_format(prefix, text, sizeof(text));
	check(value_prefix(text, &again, &e) == 0);
	check(memcmp(prefix, &again, sizeof(again)) == 0);
}

static void check_destination(const char *text)
{
	struct destination destination = {0};
	char words[PREFIX_TEXT_MAX];
	struct error e = {0};

	if (value_destination(text, &destination, &e) < 0) {
		check(e.text[0]);
		check_printable(e.text, strlen(e.text));
		return;
	}
	check(destination_text(&destination, words)[0]);
	if (destination.kind == DESTINATION_PREFIX)
		check_prefix(&destination.prefix);
	free(destination.name);
}

void fuzz_prefix(const uint8_t *data, size_t size)
{
	char *text = to_string(data, size);
	struct port_range range;
	struct prefix prefix;
	struct error e = {0};

	if (value_prefix(text, &prefix, &e) == 0)
		check_prefix(&prefix);
	else
		check(e.text[0]);
	check_destination(text);
	if (value_port_range(text, &range, &e) == 0)
		check(range.first && range.first <= range.last);
	free(text);
}
