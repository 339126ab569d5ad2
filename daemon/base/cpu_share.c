// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/cpu_share.h"

void cpu_share_init(struct cpu_share *budget, uint64_t share, uint64_t burst_us, uint64_t now_us)
{
	*budget = (struct cpu_share){.share = share,
				     .burst_us = (int64_t)burst_us,
				     .left_us = (int64_t)burst_us,
				     .last_us = now_us};
}

uint64_t cpu_share_spend(struct cpu_share *budget, uint64_t now_us, uint64_t cost_us)
{
	uint64_t more = (now_us - budget->last_us) / budget->share;

	budget->last_us += more * budget->share;
	budget->left_us += (int64_t)more;
	if (budget->left_us > budget->burst_us)
		budget->left_us = budget->burst_us;
	budget->left_us -= (int64_t)cost_us;
	return budget->left_us < 0 ? (uint64_t)-budget->left_us * budget->share : 0;
}
