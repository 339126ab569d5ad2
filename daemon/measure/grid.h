/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gaps for several connections between two bounds. Pure. */
#ifndef HOLDFAST_MEASURE_GRID_H
#define HOLDFAST_MEASURE_GRID_H

#include <stddef.h>
#include <stdint.h>

/*
 * Both fill `gaps`, which has room for n, ascending and in ms, and return how many there are.
 * `ratio_permille`: none is closer to another than it makes sense to tell apart: 1050 is 5%.
 *
 * grid_straddle(): the known windows between first and last lie between gaps, as far as n
 * allows; the last gap is `last`, the first one is `first`.
 * grid_divide(): what is strictly between low and high in equal ratios, no more than it takes to
 * come within the ratio.
 */
size_t grid_straddle(uint64_t first, uint64_t last, unsigned ratio_permille, uint64_t *gaps,
		     size_t n);
size_t grid_divide(uint64_t low, uint64_t high, unsigned ratio_permille, uint64_t *gaps, size_t n);

#endif
