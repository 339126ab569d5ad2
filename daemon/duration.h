/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Durations as people write them: "90", "350s", "1h 30min", "500ms". */
#ifndef HOLDFAST_DURATION_H
#define HOLDFAST_DURATION_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads all of text: a whole number of seconds, or numbers with the units d,
 * h, min, s and ms, the larger before the smaller and each once, with or
 * without blanks between the parts. 0: *ms is set. -EINVAL: it isn't one.
 * -ERANGE: more than 64 bits of milliseconds.
 */
int duration_parse(const char *text, uint64_t *ms);

/* As duration_parse() reads it back: "1h 30min", "350s". Size DURATION_TEXT_MAX. */
#define DURATION_TEXT_MAX 48
void duration_format(uint64_t ms, char *text, size_t size);

#endif
