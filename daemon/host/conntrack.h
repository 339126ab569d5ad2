/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks netfilter's connection tracking for the entry of one connection (ctnetlink). It never dumps:
 * that walks a table which all network namespaces share.
 */
#ifndef HOLDFAST_HOST_CONNTRACK_H
#define HOLDFAST_HOST_CONNTRACK_H

#include "base/error.h"
#include "host/netlink_ask.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The two ends of a connection, as its socket has them. */
struct conntrack_flow {
	uint8_t family;	     /* 4 or 6; IPv4-mapped IPv6 is 4 */
	uint16_t local_port; /* host byte order */
	uint16_t peer_port;
	uint8_t local[16]; /* network byte order; IPv4 in the first four bytes */
	uint8_t peer[16];
};

/* The entry of a connection. */
struct conntrack_entry {
	uint32_t timeout_s; /* until it is dropped if no packet comes; rounded down */
	uint32_t status;    /* IPS_* of <linux/netfilter/nf_conntrack_common.h> */
	uint8_t state;	    /* enum tcp_conntrack */
	bool has_timeout, has_state;
};

/* Whether asking loads no module. */
enum conntrack_netlink {
	CONNTRACK_NETLINK_ABSENT,
	CONNTRACK_NETLINK_THERE,
	CONNTRACK_NETLINK_UNCLEAR, /* there, if conntrack_netlink_built_in() */
};

/*
 * Looks for connection tracking and its netlink side, in /proc and /sys below root, which is empty
 * but in tests.
 */
enum conntrack_netlink conntrack_netlink_find(const char *root);

/* Looks for the netlink side in the BTF of the running kernel, which takes some ms. */
bool conntrack_netlink_built_in(void);

/* Whether connection tracking has an entry in the current network namespace. */
bool conntrack_in_use(void);

/*
 * Reads a sysctl of the current network namespace, by its name below net.netfilter. Returns it, or
 * -1 if it isn't there.
 */
int64_t conntrack_sysctl(const char *name);

/* Opens a socket for conntrack_get() in the current network namespace; the caller closes it. */
int conntrack_open(struct error *e);

/*
 * Gets the entry of a connection, whichever of its ends has opened it. Returns 0, -ENOENT if there
 * is none, or another negative errno.
 */
int conntrack_get(int fd, const struct conntrack_flow *flow, struct conntrack_entry *entry,
		  struct error *e);

/* What conntrack_get() asks, and how it reads the answer. */
void conntrack_ask(const struct conntrack_flow *flow, struct netlink_message *question);
int conntrack_take(const void *datagram, size_t size, struct conntrack_entry *entry,
		   struct error *e);

/*
 * Whether the entry's timeout is that of an established connection, begun anew by each packet. The
 * timeout of one that is offloaded to a flow table isn't: older kernels show about a day for it.
 */
bool conntrack_is_settled(const struct conntrack_entry *entry);

/* Whether addresses are translated: then the connection is lost with its entry. */
bool conntrack_is_translated(const struct conntrack_entry *entry);

#endif
