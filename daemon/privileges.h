/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this process may do. */
#ifndef HOLDFAST_PRIVILEGES_H
#define HOLDFAST_PRIVILEGES_H

#include "error.h"

/*
 * Gives up, for good, the capabilities that only the start needs. Of those that
 * the process has, these stay:
 *
 *   CAP_SYS_ADMIN        setns(), a BPF map by its id, unmounting at the end
 *   CAP_NET_ADMIN        the namespace of a socket (SIOCGSKNS), who else is attached
 *   CAP_BPF              a map for each reload's rules
 *   CAP_SYS_PTRACE       namespaces and sockets of other users' processes
 *   CAP_DAC_READ_SEARCH  cgroups by their ids, other users' /proc/PID/fd
 *   CAP_DAC_OVERRIDE     a pin dir in a folder of someone else's
 *
 * and all others go: CAP_PERFMON, which loading takes, CAP_NET_BROADCAST, which
 * listening to all network namespaces' rtnetlink takes, and what root has besides.
 */
int privileges_drop(struct error *e);

/* Before the start: -EPERM where one is missing without which it would run, and miss sockets. */
int privileges_check(struct error *e);

#endif
