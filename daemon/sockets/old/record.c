// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/old/record.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <time.h>

/* Retries on ENOMEM, since the kernel doesn't wait for memory that may be free in a moment. */
int old_record_write(int sockets_fd, int fd, const struct hf_record *record)
{
	const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
	int tries;

	for (tries = 0; tries < 100; tries++) {
		if (!bpf_map_update_elem(sockets_fd, &fd, record, BPF_EXIST))
			return 0;
		if (errno != ENOMEM)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -ENOMEM;
}

void old_record_hush(struct hf_record *record)
{
	record->hushed = 1;
	record->generation = 0;
}
