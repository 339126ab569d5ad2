// SPDX-License-Identifier: GPL-2.0-or-later
/* Fuzzes the records that the ring buffer has of the ends of connections. */
#include "rules.h"

#include "sockets/connection_ends.h"

void fuzz_ends(const uint8_t *data, size_t size)
{
	struct owner owner = {.pid = 1, .command = "mysql"};
	struct owners owners = {.list = &owner, .n = 1, .by_inode = size % 2};
	struct log log = {.most = LOG_LEVEL_ERROR};
	size_t step = sizeof(struct hf_ended), told_size = 0;
	char *told = NULL;
	struct connection_ends *ends = connection_ends_new(&log);
	struct hf_ended first;

	if (size >= step) {
		memcpy(&first, data, step);
		owner.key = owners.by_inode ? first.inode : first.cookie;
	}
	log.copy = open_memstream(&told, &told_size);
	check(ends && log.copy);
	while (size) {
		step = size < step ? size : step;
		check(connection_ends_take(ends, data, step) == 0);
		data += step;
		size -= step;
	}
	connection_ends_tell(ends, some_rules(), &owners);
	connection_ends_close(ends);
	fclose(log.copy);
	check_printable(told, told_size);
	free(told);
}
