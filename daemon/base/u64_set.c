// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/u64_set.h"

#include "base/util.h"

#include <errno.h>
#include <stdlib.h>

int u64_set_add(struct u64_set *numbers, uint64_t number)
{
	if (numbers->n && numbers->list[numbers->n - 1] == number)
		return 0;
	if (array_grow(&numbers->list, numbers->n, &numbers->room, sizeof(number)))
		return -ENOMEM;
	numbers->list[numbers->n++] = number;
	return 0;
}

static int by_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void sort_by_u64(void *list, size_t n, size_t size)
{
	if (n)
		qsort(list, n, size, by_u64);
}

const void *sorted_find(const void *list, size_t n, size_t size, uint64_t number)
{
	return n ? bsearch(&number, list, n, size, by_u64) : NULL;
}

void u64_set_sort(struct u64_set *numbers)
{
	sort_by_u64(numbers->list, numbers->n, sizeof(*numbers->list));
}

bool u64_set_have(const struct u64_set *numbers, uint64_t number)
{
	return sorted_find(numbers->list, numbers->n, sizeof(*numbers->list), number) != NULL;
}

void u64_set_free(struct u64_set *numbers)
{
	free(numbers->list);
	*numbers = (struct u64_set){0};
}
