/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A socket of another process, brought here: what pidfd_getfd(2) gives is the
 * very same socket, so that what is set on it here is set for that process.
 */
#ifndef HOLDFAST_GRAB_H
#define HOLDFAST_GRAB_H

#include "owners.h"

/*
 * A descriptor for the socket with that cookie (0: whatever socket it is) from
 * one of its owners, the caller's to close soon: while it is open the socket
 * lives on. -ENOENT: none of them has it any more, or there are none. All else
 * is what keeps us from it; -EPERM: we may not (CAP_SYS_PTRACE;
 * kernel.yama.ptrace_scope=3), -ENOSYS: the kernel is older than 5.6.
 */
int grab_socket(const struct owner *owners, size_t n, uint64_t cookie);

/* Whether the kernel has what it takes. */
bool grab_possible(void);

#endif
