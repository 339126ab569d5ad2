// SPDX-License-Identifier: GPL-2.0-or-later
#include "pace.h"

uint64_t pace_period_us(uint64_t configured_us, uint64_t cost_us)
{
	return cost_us * PACE_PASS > configured_us ? cost_us * PACE_PASS : configured_us;
}

void pace_init(struct pace *pace, uint64_t now_us)
{
	*pace = (struct pace){.left_us = PACE_BURST_US, .last_us = now_us};
}

uint64_t pace_spend(struct pace *pace, uint64_t now_us, uint64_t cost_us)
{
	uint64_t more = (now_us - pace->last_us) / PACE_EVENT;

	pace->last_us += more * PACE_EVENT;
	pace->left_us += (int64_t)more;
	if (pace->left_us > (int64_t)PACE_BURST_US)
		pace->left_us = PACE_BURST_US;
	pace->left_us -= (int64_t)cost_us;
	return pace->left_us < 0 ? (uint64_t)-pace->left_us * PACE_EVENT : 0;
}
