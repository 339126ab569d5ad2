/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listens to rtnetlink. With NETLINK_LISTEN_ALL_NSID one socket hears the events of our network
 * namespace and of all namespaces that have an id in it (rtnl_give_nsid()), and keeps none of them
 * alive.
 */
#ifndef HOLDFAST_HOST_RTNL_H
#define HOLDFAST_HOST_RTNL_H

#include "base/error.h"
#include "rules/rules.h"

struct rtnl; /* opaque */

enum rtnl_event {
	RTNL_NAMESPACE = 1 << 0, /* a link or a namespace id came, moved or went */
	RTNL_PATH = 1 << 1,	 /* routes or addresses changed: rtnl_changes() */
	RTNL_OVERRUN = 1 << 2,	 /* events were lost: anything may have changed */
};

#define RTNL_OWN_NAMESPACE (-1) /* stands for our namespace, or for one without an nsid */

enum rtnl_what {
	RTNL_ROUTE,	 /* the route to `prefix` in `table` came or was replaced */
	RTNL_ROUTE_GONE, /* that route went */
	RTNL_ADDRESS,	 /* the local address `prefix`, in full length, went */
	/* `link` was taken down. With it go its routes, and IPv4 sends no messages about those
	 * (fib_sync_down_dev()). */
	RTNL_LINK,
	RTNL_ANY, /* a policy rule or a nexthop object changed: any route may lead elsewhere now */
};

struct rtnl_change {
	int nsid; /* our id of the namespace that it happened in, or RTNL_OWN_NAMESPACE */
	enum rtnl_what what;
	uint32_t table; /* RTNL_ROUTE, RTNL_ROUTE_GONE */
	uint32_t link;	/* RTNL_LINK: its ifindex */
	struct prefix prefix;
};

/*
 * Opens the socket and subscribes to events; rtnl_close() frees it. Returns 0 or a negative
 * errno.
 */
int rtnl_open(struct rtnl **rtnl, struct error *e);
void rtnl_close(struct rtnl *rtnl);

/* Returns the descriptor to wait on for input, which rtnl owns. */
int rtnl_fd(const struct rtnl *rtnl);

/*
 * Reads pending messages without waiting, up to a limit. If the kernel has dropped some, drops all
 * the others that are pending, too: until then the kernel neither adds any nor says so again.
 * Returns their events (bits of enum rtnl_event), or a negative errno.
 */
int rtnl_read(struct rtnl *rtnl, struct error *e);

/* Parses one datagram from the namespace with that nsid. Returns its events, as rtnl_read(). */
int rtnl_take(struct rtnl *rtnl, void *datagram, size_t size, int nsid);

/* Returns the *n changes since the last rtnl_forget(), which rtnl owns. */
const struct rtnl_change *rtnl_changes(const struct rtnl *rtnl, size_t *n);
void rtnl_forget(struct rtnl *rtnl);

#endif
