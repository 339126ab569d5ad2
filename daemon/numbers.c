// SPDX-License-Identifier: GPL-2.0-or-later
#include "numbers.h"

#include "util.h"

#include <errno.h>
#include <stdlib.h>

int numbers_add(struct numbers *numbers, uint64_t number)
{
	if (numbers->n && numbers->list[numbers->n - 1] == number)
		return 0;
	if (array_grow(&numbers->list, numbers->n, &numbers->room, sizeof(number)))
		return -ENOMEM;
	numbers->list[numbers->n++] = number;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

void numbers_sort(struct numbers *numbers)
{
	if (numbers->n)
		qsort(numbers->list, numbers->n, sizeof(*numbers->list), by_value);
}

bool numbers_have(const struct numbers *numbers, uint64_t number)
{
	return numbers->n &&
	       bsearch(&number, numbers->list, numbers->n, sizeof(*numbers->list), by_value);
}

void numbers_free(struct numbers *numbers)
{
	free(numbers->list);
	*numbers = (struct numbers){0};
}
