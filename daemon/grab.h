/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A socket of another process, brought here: what pidfd_getfd(2) gives is the
 * very same socket, so that what is set on it here is set for that process.
 *
 * By the time it is taken, its number may have come to mean another file, whose
 * owner (a file system in user space) may keep whoever closes it waiting without
 * end. So a helper process takes it, and hands over what is the socket that was
 * meant; one that doesn't come back is left behind. No more than eight of them at
 * a time: then there are no grabs until one of those has ended.
 */
#ifndef HOLDFAST_GRAB_H
#define HOLDFAST_GRAB_H

#include "owners.h"

/* For some grabs one after the other. */
struct grabber {
	int fd; /* to the helper; owned; -1: there is none yet */
};

#define GRABBER_INIT                                                                               \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * A descriptor for the socket with that cookie (0: whatever socket it is) from
 * one of its owners, the caller's to close before the next grab, or the end of the
 * grabber: while it is open the socket lives on. -ENOENT: none of them has it any more, or there
 * are none. All else is what keeps us from it; -EPERM: we may not (CAP_SYS_PTRACE;
 * kernel.yama.ptrace_scope=3), -ENOSYS: the kernel is older than 5.6, -ETIMEDOUT: closing what
 * was there instead takes too long, -EBUSY: that has been so too often.
 */
int grab_socket(struct grabber *grabber, const struct owner *owners, size_t n, uint64_t cookie);

/* The helper ends, or is left behind. Safe on GRABBER_INIT. */
void grabber_close(struct grabber *grabber);

/* Whether the kernel has what it takes. */
bool grab_possible(void);

#endif
