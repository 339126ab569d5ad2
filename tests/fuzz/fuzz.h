/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Declares the fuzz targets and the helpers that they share. Each file fuzz_NAME.c defines one
 * function of that name, which takes arbitrary bytes and calls abort() where the code under test
 * does something wrong with them. libFuzzer calls the function through libfuzzer.c, and a unit test
 * calls it on the seeds.
 */
#ifndef HOLDFAST_TESTS_FUZZ_H
#define HOLDFAST_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS(X)                                                                                 \
	X(address)                                                                                 \
	X(agers)                                                                                   \
	X(config)                                                                                  \
	X(dns)                                                                                     \
	X(duration)                                                                                \
	X(ends)                                                                                    \
	X(filter)                                                                                  \
	X(iterators)                                                                               \
	X(prefix)                                                                                  \
	X(rtnl)                                                                                    \
	X(sockdiag)                                                                                \
	X(window)

#define DECLARE(name) void fuzz_##name(const uint8_t *data, size_t size);
TARGETS(DECLARE)

/* Aborts unless the condition holds, like assert(), but also in builds with NDEBUG. */
#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Copies the bytes to a string that ends at the first NUL. The caller frees the string. */
static inline char *to_string(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	check(text);
	return text;
}

/* Checks that the text is fit for a terminal: printable characters and newlines only. */
static inline void check_printable(const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		check(((unsigned char)text[i] >= 0x20 && text[i] != 0x7f) || text[i] == '\n');
}

#endif
