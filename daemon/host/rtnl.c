// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/rtnl.h"

#include "base/util.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <net/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

#define RECEIVE_BUFFER (1024 * 1024)
#define MESSAGE_MAX    (64u * 1024u)

/* How many datagrams one call reads: a flood of them must not stop the rest of the daemon. */
#define READ_MOST 64

/* More changes than this in one burst count as an overrun. */
#define CHANGES_MAX 16384u

struct rtnl {
	struct nl_sock *socket;
	struct rtnl_change *changes; /* owned */
	size_t n, room;
	uint8_t *buffer; /* MESSAGE_MAX; owned */
};

int rtnl_open(struct rtnl **out, struct error *e)
{
	struct rtnl *rtnl = calloc(1, sizeof(*rtnl));
	const int on = 1;
	int err;

	if (rtnl) {
		rtnl->buffer = malloc(MESSAGE_MAX);
		rtnl->socket = nl_socket_alloc();
	}
	if (!rtnl || !rtnl->socket || !rtnl->buffer) {
		rtnl_close(rtnl);
		return error_set(e, ENOMEM, "out of memory");
	}
	err = nl_connect(rtnl->socket, NETLINK_ROUTE);
	if (!err)
		err = nl_socket_set_nonblocking(rtnl->socket);
	if (!err)
		err = nl_socket_add_memberships(rtnl->socket, RTNLGRP_LINK, RTNLGRP_NSID,
						RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
						RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
						RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, 0);
	if (err < 0) {
		error_set(e, EIO, "can't listen to rtnetlink: %s", nl_geterror(err));
		rtnl_close(rtnl);
		return -EIO;
	}
	/*
	 * This may fail: without CAP_NET_BROADCAST the socket hears only our own namespace, and the
	 * reconcile timer finds what happens in others.
	 */
	setsockopt(rtnl_fd(rtnl), SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on));
	nl_socket_add_membership(rtnl->socket, RTNLGRP_NEXTHOP); /* this may fail: before 5.3 */
	nl_socket_set_buffer_size(rtnl->socket, RECEIVE_BUFFER, 0);
	*out = rtnl;
	return 0;
}

void rtnl_close(struct rtnl *rtnl)
{
	if (!rtnl)
		return;
	nl_socket_free(rtnl->socket);
	free(rtnl->changes);
	free(rtnl->buffer);
	free(rtnl);
}

int rtnl_fd(const struct rtnl *rtnl)
{
	return nl_socket_get_fd(rtnl->socket);
}

/* Makes a prefix of an attribute's address. With len 0 the attribute may be missing. */
static bool to_prefix(uint8_t family, unsigned len, struct nlattr *attr, struct prefix *prefix)
{
	unsigned size = family == AF_INET ? 4 : 16;

	*prefix = (struct prefix){0};
	if ((family != AF_INET && family != AF_INET6) || len > 8 * size)
		return false;
	if (attr ? nla_len(attr) != (int)size : len != 0)
		return false;
	prefix->family = family == AF_INET ? 4 : 6;
	prefix->len = (uint8_t)len;
	if (attr)
		memcpy(prefix->addr, nla_data(attr), size);
	return true;
}

static int add_change(struct rtnl *rtnl, const struct rtnl_change *change)
{
	if (rtnl->n == CHANGES_MAX ||
	    array_grow(&rtnl->changes, rtnl->n, &rtnl->room, sizeof(*change)))
		return RTNL_OVERRUN;
	rtnl->changes[rtnl->n++] = *change;
	return RTNL_PATH;
}

/*
 * Parses a route without libnl's rtnl_route_parse(), which trusts the lengths of next hops and
 * never returns if one of them is 0.
 */
static int on_route(struct rtnl *rtnl, struct nlmsghdr *header, int nsid)
{
	bool gone = header->nlmsg_type == RTM_DELROUTE;
	struct rtnl_change change = {.nsid = nsid, .what = gone ? RTNL_ROUTE_GONE : RTNL_ROUTE};
	const struct rtmsg *message = nlmsg_data(header);
	struct nlattr *attr;

	if (!nlmsg_valid_hdr(header, sizeof(*message)))
		return 0;
	attr = nlmsg_find_attr(header, sizeof(*message), RTA_TABLE);
	change.table = attr && nla_len(attr) == sizeof(change.table) ? nla_get_u32(attr)
								     : message->rtm_table;
	attr = nlmsg_find_attr(header, sizeof(*message), RTA_DST);
	/* The local table has our own addresses: none of its routes leads to a peer. */
	if (change.table == RT_TABLE_LOCAL || message->rtm_flags & RTM_F_CLONED ||
	    !to_prefix(message->rtm_family, message->rtm_dst_len, attr, &change.prefix))
		return 0;
	return add_change(rtnl, &change);
}

static int on_address_gone(struct rtnl *rtnl, struct nlmsghdr *header, int nsid)
{
	struct rtnl_change change = {.nsid = nsid, .what = RTNL_ADDRESS};
	const struct ifaddrmsg *message = nlmsg_data(header);
	struct nlattr *attr;

	if (!nlmsg_valid_hdr(header, sizeof(*message)))
		return 0;
	attr = nlmsg_find_attr(header, sizeof(*message), IFA_LOCAL);
	if (!attr)
		attr = nlmsg_find_attr(header, sizeof(*message), IFA_ADDRESS);
	if (!attr || !to_prefix(message->ifa_family, message->ifa_family == AF_INET ? 32 : 128,
				attr, &change.prefix))
		return 0;
	return add_change(rtnl, &change);
}

/*
 * Notes a link that was taken down. A new link reports every flag as changed
 * (rtnl_configure_link()): if it is down it has never been up, and isn't noted. Nor is a port of
 * a bridge or bond, which has no routes of its own.
 */
static int on_link(struct rtnl *rtnl, struct nlmsghdr *header, int nsid)
{
	const struct ifinfomsg *message = nlmsg_data(header);
	struct rtnl_change change = {.nsid = nsid, .what = RTNL_LINK};

	if (!nlmsg_valid_hdr(header, sizeof(*message)) || message->ifi_index <= 0 ||
	    message->ifi_change == ~0u || !(message->ifi_change & IFF_UP) ||
	    message->ifi_flags & IFF_UP || nlmsg_find_attr(header, sizeof(*message), IFLA_MASTER))
		return RTNL_NAMESPACE;
	change.link = (uint32_t)message->ifi_index;
	return RTNL_NAMESPACE | add_change(rtnl, &change);
}

/* Notes that any route may lead elsewhere now. One note for each burst of a namespace is enough. */
static int on_any(struct rtnl *rtnl, int nsid)
{
	const struct rtnl_change change = {.nsid = nsid, .what = RTNL_ANY};
	const struct rtnl_change *last = rtnl->n ? &rtnl->changes[rtnl->n - 1] : NULL;

	if (last && last->what == RTNL_ANY && last->nsid == nsid)
		return RTNL_PATH;
	return add_change(rtnl, &change);
}

static int on_message(struct rtnl *rtnl, struct nlmsghdr *header, int nsid)
{
	switch (header->nlmsg_type) {
	case RTM_NEWLINK:
		return on_link(rtnl, header, nsid);
	case RTM_DELLINK:
	case RTM_NEWNSID:
	case RTM_DELNSID:
		return RTNL_NAMESPACE;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return on_route(rtnl, header, nsid);
	case RTM_DELADDR:
		return on_address_gone(rtnl, header, nsid);
	case RTM_NEWRULE:
	case RTM_DELRULE:
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		return on_any(rtnl, nsid);
	}
	return 0;
}

/* Returns the nsid of the namespace that a message comes from. */
static int message_nsid(struct msghdr *message)
{
	struct cmsghdr *part;
	int nsid;

	for (part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level == SOL_NETLINK && part->cmsg_type == NETLINK_LISTEN_ALL_NSID) {
			memcpy(&nsid, CMSG_DATA(part), sizeof(nsid));
			return nsid;
		}
	}
	return RTNL_OWN_NAMESPACE;
}

int rtnl_take(struct rtnl *rtnl, void *datagram, size_t size, int nsid)
{
	struct nlmsghdr *header = datagram;
	int left = (int)size, events = 0;

	for (; nlmsg_ok(header, left); header = nlmsg_next(header, &left))
		events |= on_message(rtnl, header, nsid);
	return events;
}

/* Drops what is pending. It ends, since the kernel adds nothing until all of it was read. */
static void drop_pending(const struct rtnl *rtnl)
{
	while (recv(rtnl_fd(rtnl), rtnl->buffer, 1, MSG_DONTWAIT) >= 0 || errno == EINTR)
		;
}

/* Doesn't use libnl's nl_recv(), which drops the control message that names the namespace. */
int rtnl_read(struct rtnl *rtnl, struct error *e)
{
	int events = 0, n;

	for (n = 0; n < READ_MOST; n++) {
		char control[CMSG_SPACE(sizeof(int)) * 4];
		struct sockaddr_nl sender = {0};
		struct iovec iov = {.iov_base = rtnl->buffer, .iov_len = MESSAGE_MAX};
		struct msghdr message = {.msg_name = &sender,
					 .msg_namelen = sizeof(sender),
					 .msg_iov = &iov,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control)};
		ssize_t got = recvmsg(rtnl_fd(rtnl), &message, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return events;
		if (got < 0 && errno == ENOBUFS) { /* the kernel has dropped messages */
			drop_pending(rtnl);
			return events | RTNL_OVERRUN;
		}
		if (got < 0)
			return error_set(e, errno, "reading rtnetlink events: %s", strerror(errno));
		/* Root in a namespace can send to its groups, too; only the kernel has port 0. */
		if (sender.nl_pid != 0)
			continue;
		if (message.msg_flags & MSG_TRUNC)
			events |= RTNL_OVERRUN;
		events |= rtnl_take(rtnl, rtnl->buffer, (size_t)got, message_nsid(&message));
	}
	return events;
}

const struct rtnl_change *rtnl_changes(const struct rtnl *rtnl, size_t *n)
{
	*n = rtnl->n;
	return rtnl->changes;
}

void rtnl_forget(struct rtnl *rtnl)
{
	rtnl->n = 0;
}
