// SPDX-License-Identifier: GPL-2.0-or-later
/* Fuzzes durations: a valid one must come back unchanged from its own text. */
#include "fuzz.h"

#include "base/duration.h"

void fuzz_duration(const uint8_t *data, size_t size)
{
	char *text = to_string(data, size), again[DURATION_TEXT_MAX];
	uint64_t ms, ms_again;

	if (duration_parse(text, &ms) == 0) {
		duration_format(ms, again, sizeof(again));
		check(duration_parse(again, &ms_again) == 0);
		check(ms == ms_again);
	}
	free(text);
}
