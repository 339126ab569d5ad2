/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A set of numbers: a growing list that is searched once it is sorted. */
#ifndef HOLDFAST_BASE_U64_SET_H
#define HOLDFAST_BASE_U64_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of numbers; all zero is the empty set. */
struct u64_set {
	uint64_t *list; /* owned */
	size_t n, room;
};

/* Appends a number, unless it is the last one already. Returns 0 or -ENOMEM. */
int u64_set_add(struct u64_set *numbers, uint64_t number);
void u64_set_sort(struct u64_set *numbers);

/* Returns whether the set has the number. The list must be sorted. */
bool u64_set_have(const struct u64_set *numbers, uint64_t number);

/* Frees the list; the set is empty then. */
void u64_set_free(struct u64_set *numbers);

/*
 * Sort and search a list of n elements of size bytes that each begin with a uint64_t, as a record
 * begins with its cookie. list may be NULL where n is 0. sorted_find() returns the element that
 * begins with number, or NULL.
 */
void sort_by_u64(void *list, size_t n, size_t size);
const void *sorted_find(const void *list, size_t n, size_t size, uint64_t number);

#endif
