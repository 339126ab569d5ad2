// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/grid.h"

#include "rules/known_windows.h"

#include <math.h>
#include <string.h>

/* Room for one between each two known windows, and both ends. */
#define POINTS_MAX 96

struct points {
	uint64_t ms[POINTS_MAX];
	size_t n;
};

static double ratio(uint64_t low, uint64_t high)
{
	return (double)high / (double)low;
}

static uint64_t between(uint64_t low, uint64_t high)
{
	return (uint64_t)llround(sqrt((double)low * (double)high));
}

/* One gap between each two known windows that can be told apart. */
static void straddle(struct points *points, uint64_t first, uint64_t last, double apart)
{
	size_t n, i;
	const struct known_window *windows = known_windows(&n);
	uint64_t before = 0;

	points->ms[points->n++] = first;
	for (i = 0; i < n; i++) {
		uint64_t ms = (uint64_t)windows[i].s * 1000;

		if (ms <= first || ms >= last)
			continue;
		if (before && ratio(before, ms) > apart)
			points->ms[points->n++] = between(before, ms);
		before = ms;
	}
	points->ms[points->n++] = last;
}

/* Takes away the gap whose neighbours are the closest to each other. */
static void thin(struct points *points)
{
	size_t i, victim = 1;

	for (i = 2; i + 1 < points->n; i++) {
		if (ratio(points->ms[i - 1], points->ms[i + 1]) <
		    ratio(points->ms[victim - 1], points->ms[victim + 1]))
			victim = i;
	}
	points->n--;
	memmove(&points->ms[victim], &points->ms[victim + 1],
		(points->n - victim) * sizeof(points->ms[0]));
}

/* Adds a gap where two are the farthest from each other. False: they are all close enough. */
static int fill(struct points *points, double apart)
{
	size_t i, widest = 0;

	for (i = 1; i + 1 < points->n; i++) {
		if (ratio(points->ms[i], points->ms[i + 1]) >
		    ratio(points->ms[widest], points->ms[widest + 1]))
			widest = i;
	}
	if (ratio(points->ms[widest], points->ms[widest + 1]) <= apart)
		return 0;
	memmove(&points->ms[widest + 2], &points->ms[widest + 1],
		(points->n - widest - 1) * sizeof(points->ms[0]));
	points->ms[widest + 1] = between(points->ms[widest], points->ms[widest + 2]);
	points->n++;
	return 1;
}

size_t grid_straddle(uint64_t first, uint64_t last, unsigned ratio_permille, uint64_t *gaps,
		     size_t n)
{
	struct points points = {.n = 0};
	double apart = ratio_permille / 1000.0;

	if (n > POINTS_MAX - 2)
		n = POINTS_MAX - 2;
	if (n < 2 || ratio(first, last) <= apart) {
		gaps[0] = last;
		return 1;
	}
	straddle(&points, first, last, apart);
	while (points.n > n)
		thin(&points);
	while (points.n < n && fill(&points, apart))
		;
	memcpy(gaps, points.ms, points.n * sizeof(*gaps));
	return points.n;
}

size_t grid_divide(uint64_t low, uint64_t high, unsigned ratio_permille, uint64_t *gaps, size_t n)
{
	double whole = log(ratio(low, high)), apart = log(ratio_permille / 1000.0);
	/* A little finer: connections idle some milliseconds longer than they are to. */
	size_t cells = (size_t)ceil(whole / (apart * 0.98)), i;

	if (cells < 2)
		return 0;
	if (n > cells - 1)
		n = cells - 1;
	for (i = 0; i < n; i++)
		gaps[i] = (uint64_t)llround((double)low *
					    exp(whole * (double)(i + 1) / (double)(n + 1)));
	return n;
}
