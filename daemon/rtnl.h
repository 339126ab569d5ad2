/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtnetlink events, of our namespace and of every one that is linked to it
 * (veth, macvlan...): NETLINK_LISTEN_ALL_NSID brings them through one socket,
 * which keeps none of those namespaces alive.
 */
#ifndef HOLDFAST_RTNL_H
#define HOLDFAST_RTNL_H

#include "error.h"

struct rtnl; /* opaque */

enum rtnl_event {
	RTNL_NAMESPACE = 1 << 0, /* a link or a namespace id came, moved or went */
	RTNL_ROUTE = 1 << 1,	 /* an address or a route changed */
	RTNL_OVERRUN = 1 << 2,	 /* events were lost: look at everything again */
};

/* Opens the socket and subscribes. Negative errno. rtnl_close() frees it. */
int rtnl_open(struct rtnl **rtnl, struct error *e);
void rtnl_close(struct rtnl *rtnl);

/* The descriptor to wait on for input; rtnl keeps it. */
int rtnl_fd(const struct rtnl *rtnl);

/* Reads what is there, without waiting. The events (bits of enum rtnl_event), or negative errno. */
int rtnl_read(struct rtnl *rtnl, struct error *e);

#endif
