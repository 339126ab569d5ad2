/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where this process runs: on the host, or in a container that shows it less than that. */
#ifndef HOLDFAST_PLACE_H
#define HOLDFAST_PLACE_H

#include "error.h"

/*
 * Whether the host's processes are ours to see. -EXDEV: we are in a PID namespace
 * of our own. The task iterators skip what is outside of it, and call what is
 * inside by the host's numbers, which fit nothing in our /proc.
 */
int place_check_processes(struct error *e);

#endif
