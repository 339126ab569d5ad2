/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A keeper is a child process that ends probes if the process that began them is killed before it
 * does. Without it the sockets would keep a keepalive time of one second until the next pass, which
 * nobody makes while no daemon runs.
 */
#ifndef HOLDFAST_SOCKETS_PROBE_KEEPER_H
#define HOLDFAST_SOCKETS_PROBE_KEEPER_H

#include "host/netns.h"
#include "kernel/data_plane.h"

#include <stdint.h>
#include <sys/types.h>

struct probe_keeper {
	pid_t pid;
	int fd; /* owned; -1: there is no keeper */
};

#define PROBE_KEEPER_INIT                                                                          \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * Starts a keeper for the probes of these sockets, before probe_begin(). It is in a session of its
 * own, so that a signal to the caller's process group doesn't end it. Returns 0 or negative errno.
 */
int probe_keeper_start(struct probe_keeper *keeper, const struct data_plane *plane,
		       const struct netns_list *namespaces, const uint64_t *cookies, size_t n);

/*
 * Ends the keeper and waits for its end. If `ended` is false, probe_end() has failed, and the
 * keeper tries once more. Does nothing if there is no keeper.
 */
void probe_keeper_stop(struct probe_keeper *keeper, bool ended);

#endif
