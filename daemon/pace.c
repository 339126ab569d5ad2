// SPDX-License-Identifier: GPL-2.0-or-later
#include "pace.h"

void pace_init(struct pace *pace, uint64_t share, uint64_t burst_us, uint64_t now_us)
{
	*pace = (struct pace){.share = share,
			      .burst_us = (int64_t)burst_us,
			      .left_us = (int64_t)burst_us,
			      .last_us = now_us};
}

uint64_t pace_spend(struct pace *pace, uint64_t now_us, uint64_t cost_us)
{
	uint64_t more = (now_us - pace->last_us) / pace->share;

	pace->last_us += more * pace->share;
	pace->left_us += (int64_t)more;
	if (pace->left_us > pace->burst_us)
		pace->left_us = pace->burst_us;
	pace->left_us -= (int64_t)cost_us;
	return pace->left_us < 0 ? (uint64_t)-pace->left_us * pace->share : 0;
}
