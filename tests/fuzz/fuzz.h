/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzz targets share. Each file fuzz_NAME.c defines one function of that
 * name, which takes any bytes and calls abort() where what comes of them is wrong;
 * libFuzzer calls it through libfuzzer.c, and a unit test on the seeds.
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
	X(config)                                                                                  \
	X(dns)                                                                                     \
	X(duration)                                                                                \
	X(ends)                                                                                    \
	X(filter)                                                                                  \
	X(iterators)                                                                               \
	X(prefix)                                                                                  \
	X(rtnl)                                                                                    \
	X(sockdiag)

#define DECLARE(name) void fuzz_##name(const uint8_t *data, size_t size);
TARGETS(DECLARE)

/* assert() that no build leaves out. */
#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The bytes as a string, up to the first NUL; the caller frees it. */
static inline char *to_string(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	check(text);
	return text;
}

/* Somewhere to print to: the text must be fit for a terminal, one line after the other. */
static inline void check_printable(const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		check(((unsigned char)text[i] >= 0x20 && text[i] != 0x7f) || text[i] == '\n');
}

#endif
