/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtnetlink: events of our namespace and of every one that is linked to it
 * (veth, macvlan...), which NETLINK_LISTEN_ALL_NSID brings through one socket
 * that keeps none of those namespaces alive; and questions.
 */
#ifndef HOLDFAST_RTNL_H
#define HOLDFAST_RTNL_H

#include "error.h"
#include "rules.h"

struct rtnl; /* opaque */

enum rtnl_event {
	RTNL_NAMESPACE = 1 << 0, /* a link or a namespace id came, moved or went */
	RTNL_PATH = 1 << 1,	 /* routes or addresses changed: rtnl_changes() */
	RTNL_OVERRUN = 1 << 2,	 /* events were lost: look at everything again */
};

#define RTNL_OWN_NAMESPACE (-1) /* in place of an nsid; also: has none */

/*
 * A route that came or went, one of our own addresses that went, or a link that was up and
 * was taken down: its routes go with it, and IPv4 doesn't tell which
 * (fib_sync_down_dev()).
 */
struct rtnl_change {
	int nsid;      /* of the namespace, as ours names it, or RTNL_OWN_NAMESPACE */
	bool local;    /* an address of ours: prefix is the whole of it */
	uint32_t link; /* the ifindex of a link: what went over it may have moved; 0: none */
	struct prefix prefix;
};

/* Opens the socket and subscribes. Negative errno. rtnl_close() frees it. */
int rtnl_open(struct rtnl **rtnl, struct error *e);
void rtnl_close(struct rtnl *rtnl);

/* The descriptor to wait on for input; rtnl keeps it. */
int rtnl_fd(const struct rtnl *rtnl);

/*
 * Reads what is there, or some of it where there is much, without waiting. The events (bits of
 * enum rtnl_event), or negative errno.
 */
int rtnl_read(struct rtnl *rtnl, struct error *e);

/* What one datagram says that came from that namespace: as rtnl_read(). */
int rtnl_take(struct rtnl *rtnl, void *datagram, size_t size, int nsid);

/* The changes gathered since rtnl_forget(), *n of them; rtnl keeps them. */
const struct rtnl_change *rtnl_changes(const struct rtnl *rtnl, size_t *n);
void rtnl_forget(struct rtnl *rtnl);

/* The nsid by which our namespace names that of ns_fd; RTNL_OWN_NAMESPACE: none. Negative errno
 * else. */
int rtnl_nsid(int ns_fd, int *nsid);

/*
 * In the current namespace: the length of the routing prefix that takes packets
 * to that address. -ENETUNREACH and the like: there is none.
 */
int rtnl_matched_length(uint8_t family, const uint8_t address[16]);

#endif
