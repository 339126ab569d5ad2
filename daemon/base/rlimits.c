// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/rlimits.h"

#include <sys/resource.h>

void rlimits_raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
