/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes sockets of other processes with pidfd_getfd(2). The descriptor refers to the very socket
 * that the other process has, so an option that is set on it here is set for that process.
 *
 * By the time it is taken, the descriptor number may refer to another file, and the owner of that
 * file (a file system in user space) can make close() wait without end. A helper process
 * therefore takes the descriptor, and hands it over only if it is the socket that was meant. A
 * helper that doesn't answer is left behind. No more than eight are left behind at a time: then
 * no socket can be taken until one of them has ended.
 */
#ifndef HOLDFAST_HOST_PIDFD_SOCKET_H
#define HOLDFAST_HOST_PIDFD_SOCKET_H

#include "host/owners.h"

/* A helper process, which takes one socket after the other. */
struct pidfd_helper {
	int fd; /* a socket to the helper; owned; -1: it hasn't been started */
};

#define PIDFD_HELPER_INIT                                                                          \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * Takes the socket with that cookie (0: any socket) from one of its n owners. Returns a
 * descriptor, which keeps the socket alive, and which the caller closes before it asks for the
 * next one or closes the helper. Errors:
 *
 *   -ENOENT     no owner has the socket any more, or there are no owners
 *   -EPERM      we may not take it (CAP_SYS_PTRACE; kernel.yama.ptrace_scope=3)
 *   -ENOSYS     the kernel is older than 5.6
 *   -ETIMEDOUT  another file had its number, and takes too long to close
 *   -EBUSY      eight helpers have been left behind
 *
 * or another negative errno.
 */
int pidfd_socket_get(struct pidfd_helper *helper, const struct owner *owners, size_t n,
		     uint64_t cookie);

/* Tells the helper to end, or leaves it behind. Safe on PIDFD_HELPER_INIT. */
void pidfd_helper_close(struct pidfd_helper *helper);

/* Tells whether the kernel has pidfd_getfd(2). */
bool pidfd_socket_possible(void);

#endif
