/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads and writes durations as people write them: "90", "350s", "1h 30min", "500ms". */
#ifndef HOLDFAST_BASE_DURATION_H
#define HOLDFAST_BASE_DURATION_H

#include <stddef.h>
#include <stdint.h>

/*
 * Parses all of text as a duration: a whole number of seconds, or numbers with the units d, h,
 * min, s and ms, each unit at most once and the larger before the smaller, with or without blanks
 * between the parts. Returns 0 and sets *ms, -EINVAL if text is no duration, or -ERANGE if it has
 * more than 64 bits of milliseconds.
 */
int duration_parse(const char *text, uint64_t *ms);

/* Writes a duration as duration_parse() reads it: "1h 30min", "350s". DURATION_TEXT_MAX bytes
 * suffice. */
#define DURATION_TEXT_MAX 48
void duration_format(uint64_t ms, char *text, size_t size);

#endif
