// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/duration.h"

#include "base/util.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static const struct unit {
	const char *name;
	uint64_t ms;
} units[] = {
	{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1},
};

static int add_product(uint64_t *sum, uint64_t number, uint64_t factor)
{
	uint64_t product;

	if (__builtin_mul_overflow(number, factor, &product) ||
	    __builtin_add_overflow(*sum, product, sum))
		return -ERANGE;
	return 0;
}

/*
 * Reads the digits at *text and moves *text behind them. Returns 0, or -EINVAL if there are none.
 * A number that is too large only sets *overflow: the caller still has to find out whether rubbish
 * follows.
 */
static int read_number(const char **text, uint64_t *number, bool *overflow)
{
	const char *p = *text;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	*number = 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(*number, 10u, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*p - '0'), number))
			*overflow = true;
	}
	*text = p;
	return 0;
}

int duration_parse(const char *text, uint64_t *ms)
{
	uint64_t sum = 0, number;
	bool overflow = false;
	size_t next = 0, len, i;

	if (read_number(&text, &number, &overflow))
		return -EINVAL;
	if (!*text) {
		if (overflow || add_product(&sum, number, 1000))
			return -ERANGE;
		*ms = sum;
		return 0;
	}
	for (;;) {
		len = strspn(text, "abcdefghijklmnopqrstuvwxyz");
		for (i = next; i < ARRAY_SIZE(units); i++) {
			if (strlen(units[i].name) == len && !strncmp(units[i].name, text, len))
				break;
		}
		if (i == ARRAY_SIZE(units))
			return -EINVAL;
		if (add_product(&sum, number, units[i].ms))
			overflow = true;
		next = i + 1;
		text += len;
		if (!*text)
			break;
		text += strspn(text, " \t");
		if (read_number(&text, &number, &overflow))
			return -EINVAL;
	}
	if (overflow)
		return -ERANGE;
	*ms = sum;
	return 0;
}

void duration_format(uint64_t ms, char *text, size_t size)
{
	size_t used = 0, i;

	/* A user who has just written 350s recognizes it more easily than 5min 50s. */
	if (ms % 1000 == 0 && (ms == 0 || (ms < 3600000 && ms % 60000 != 0))) {
		snprintf(text, size, "%" PRIu64 "s", ms / 1000);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t number = ms / units[i].ms;
		int n;

		if (!number)
			continue;
		ms %= units[i].ms;
		n = snprintf(text + used, size - used, "%s%" PRIu64 "%s", used ? " " : "", number,
			     units[i].name);
		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}
