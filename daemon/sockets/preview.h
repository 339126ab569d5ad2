/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds out what a configuration would do to the sockets of this host, and does nothing to them.
 * It loads no program and pins nothing, so nothing can be left behind: sock_diag lists the sockets,
 * and each one that a rule matches is taken from its process for a moment (pidfd_getfd) and read
 * with getsockopt(2). bpf/plan.h decides what it would get, as it does for the daemon.
 */
#ifndef HOLDFAST_SOCKETS_PREVIEW_H
#define HOLDFAST_SOCKETS_PREVIEW_H

#include "sockets/snapshot.h"

struct preview_plan; /* opaque */

struct preview {
	/* The sockets that rules of the configuration match, with socket->would. Verdicts are
	 * exposed, own, exempt and closed, and held where a holdfast that runs has set the values.
	 * Nothing else of the snapshot but its configuration, windows, owners and cgroups counts.
	 */
	struct snapshot snapshot;
	struct preview_plan *plans; /* what socket->would points to; owned */
	size_t n_plans, room;
	size_t released;  /* held sockets that no rule matches any more: they would be given back */
	size_t unread;	  /* sockets that rules match, but that couldn't be read */
	int unread_errno; /* why not, for the first one that a process has open; positive; 0: none
			     of them is any process's */
	struct error host; /* why it isn't known everywhere what this host itself forgets */
};

/*
 * Takes a preview of the configuration, which it takes over, also on failure. plane: what is
 * attached, whose records say what applications have asked for; NULL: nothing is. Returns 0 and a
 * preview for preview_free(), or a negative errno.
 */
int preview_take(const struct data_plane *plane, struct config *config, struct preview *preview,
		 struct error *e);
void preview_free(struct preview *preview);

/* Tells whether the socket would be changed. */
bool preview_changes(const struct snapshot_socket *socket);

#endif
