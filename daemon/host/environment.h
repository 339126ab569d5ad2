/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds out whether this process runs in a container that hides the host's processes. */
#ifndef HOLDFAST_HOST_ENVIRONMENT_H
#define HOLDFAST_HOST_ENVIRONMENT_H

#include "base/error.h"

/*
 * Checks that this process sees the host's processes. Returns 0, -EOPNOTSUPP in a PID namespace of
 * its own, or another negative errno. In such a namespace the task iterators skip the processes
 * outside of it, and give those inside their PIDs on the host, which match nothing in our /proc.
 */
int environment_check_processes(struct error *e);

#endif
