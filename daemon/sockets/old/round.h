/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the passes over all network namespaces of a round share, so that it is read only once. */
#ifndef HOLDFAST_SOCKETS_OLD_ROUND_H
#define HOLDFAST_SOCKETS_OLD_ROUND_H

#include "host/owners.h"
#include "host/pidfd_socket.h"
#include "host/sockdiag.h"
#include "kernel/data_plane.h"
#include "kernel/iter.h"
#include "kernel/scope.h"

struct old_round {
	const struct data_plane *plane;
	struct pidfd_helper helper;
	bool found_owners; /* `owners` is filled in */
	struct owners owners;
	bool prepared;		   /* the members below are filled in, too; all are owned */
	struct config config;	   /* in force */
	struct port_filter filter; /* the ports that config names */
	struct scope scope;
};

#define OLD_ROUND_INIT(p)                                                                          \
	{                                                                                          \
		.plane = (p), .helper = PIDFD_HELPER_INIT, .scope = {.fd = -1 }                    \
	}

/* Fills in the owners when it is called for the first time. Returns 0 or negative errno. */
int old_round_find_owners(struct old_round *round, struct error *e);

/* Fills in the round when it is called for the first time. Returns 0 or negative errno. */
int old_round_prepare(struct old_round *round, struct error *e);
void old_round_free(struct old_round *round);

#endif
