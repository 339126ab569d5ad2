/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the processes that have a socket open. */
#ifndef HOLDFAST_HOST_OWNERS_H
#define HOLDFAST_HOST_OWNERS_H

#include "bpf/types.h"
#include "kernel/pins.h"

#include <stdint.h>

struct owner {
	uint64_t key; /* socket cookie; with by_inode: sockfs inode */
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
 * Finds all owners of sockets that have a record or match a rule, from the task_file iterator in
 * one pass. Where the iterator can't be read, finds the owners of all sockets as
 * owners_find_by_inode() does. Returns 0 and a list for owners_free(), or a negative errno.
 */
int owners_find(const struct pins *pins, struct owners *owners, struct error *e);

/* Reads owners from an open iterator to its end. Returns as owners_find() does. */
int owners_read(int fd, struct owners *owners, struct error *e);

/*
 * Finds all owners of sockets of any kind from /proc/PID/fd, and sets by_inode. Leaves out
 * processes that we may not look into. Returns as owners_find() does.
 */
int owners_find_by_inode(struct owners *owners, struct error *e);

void owners_free(struct owners *owners);

/* Returns the first of the *n owners of a socket, which follow each other; NULL: it has none. */
const struct owner *owners_of(const struct owners *owners, uint64_t cookie, uint32_t inode,
			      size_t *n);

#endif
