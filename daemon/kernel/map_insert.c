// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/map_insert.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <time.h>

int map_insert(int map, const void *key, const void *value, uint64_t flags)
{
	const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
	int tries;

	for (tries = 0; tries < 1500; tries++) {
		if (!bpf_map_update_elem(map, key, value, flags))
			return 0;
		if (errno != ENOMEM)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -ENOMEM;
}
