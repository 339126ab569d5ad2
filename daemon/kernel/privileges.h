/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks and drops the capabilities of this process. */
#ifndef HOLDFAST_KERNEL_PRIVILEGES_H
#define HOLDFAST_KERNEL_PRIVILEGES_H

#include "base/error.h"

/*
 * Gives up, for good, the capabilities that only the start needs. Returns 0 or negative errno. Of
 * the capabilities that the process has, these stay:
 *
 *   CAP_SYS_ADMIN        setns(), a BPF map by its id, unmounting at the end
 *   CAP_NET_ADMIN        the namespace of a socket (SIOCGSKNS), who else is attached
 *   CAP_BPF              a map for each reload's rules
 *   CAP_SYS_PTRACE       namespaces and sockets of other users' processes
 *   CAP_DAC_READ_SEARCH  cgroups by their ids, other users' /proc/PID/fd
 *   CAP_DAC_OVERRIDE     a pin dir in a folder of someone else's
 *
 * All others go: CAP_PERFMON, which loading the programs needs; CAP_NET_BROADCAST, which listening
 * to the rtnetlink of all network namespaces needs; and what root has besides.
 */
int privileges_drop(struct error *e);

/*
 * Checks before the start for the capabilities without which the daemon would run but miss
 * sockets. Returns 0, -EPERM if one is missing, or another negative errno.
 */
int privileges_check(struct error *e);

#endif
