/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds out what a container hides from this process, or keeps to itself. */
#ifndef HOLDFAST_HOST_ENVIRONMENT_H
#define HOLDFAST_HOST_ENVIRONMENT_H

#include "base/error.h"

#include <stdbool.h>

/*
 * Checks that this process sees the host's processes. Returns 0, -EOPNOTSUPP in a PID namespace of
 * its own, or another negative errno. In such a namespace the task iterators skip the processes
 * outside of it, and give those inside their PIDs on the host, which match nothing in our /proc.
 */
int environment_check_processes(struct error *e);

/*
 * Whether what this process mounts ends with a mount namespace that isn't the one of PID 1: that of
 * a container, or of a systemd unit. False where it can't be told.
 */
bool environment_mounts_end(void);

#endif
