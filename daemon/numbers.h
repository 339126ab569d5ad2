/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A growing list of numbers, to be looked up in once it is sorted.
 */
#ifndef HOLDFAST_NUMBERS_H
#define HOLDFAST_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: empty. */
struct numbers {
	uint64_t *list; /* owned */
	size_t n, room;
};

/* Appends it, unless it is the last one already. 0 or -ENOMEM. */
int numbers_add(struct numbers *numbers, uint64_t number);
void numbers_sort(struct numbers *numbers);

/* Of a sorted list. */
bool numbers_have(const struct numbers *numbers, uint64_t number);

/* Empty again. */
void numbers_free(struct numbers *numbers);

#endif
