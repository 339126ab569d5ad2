/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which processes have a socket open. */
#ifndef HOLDFAST_OWNERS_H
#define HOLDFAST_OWNERS_H

#include "../bpf/types.h"
#include "pins.h"

#include <stdint.h>

struct owner {
	uint64_t key; /* socket cookie, or with by_inode its sockfs inode */
	pid_t pid;
	unsigned fd;
	char command[4 * HF_COMM_LEN + 1]; /* control characters escaped */
};

struct owners {
	struct owner *list; /* sorted by key, pid, fd; owned */
	size_t n;
	bool by_inode;
};

/*
 * All owners of sockets that have a record or match a rule, from the task_file
 * iterator in one pass; where that can't be read, of all sockets, from
 * /proc/PID/fd. Processes that we may not look into are left out.
 */
int owners_find(const struct pins *pins, struct owners *owners, struct error *e);

/* The same from an open iterator, read to its end. */
int owners_read(int fd, struct owners *owners, struct error *e);

/* All owners of sockets of whatever kind, from /proc/PID/fd; with by_inode. */
int owners_find_by_inode(struct owners *owners, struct error *e);

void owners_free(struct owners *owners);

/* The owners of a socket: *n of them, from the one that is returned; NULL: none. */
const struct owner *owners_of(const struct owners *owners, uint64_t cookie, uint32_t inode,
			      size_t *n);

#endif
