// SPDX-License-Identifier: GPL-2.0-or-later
#include "rtnl.h"

#include "util.h"

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

/* Messages that are read in one go: whoever sends without end may not keep us from all else. */
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
						RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, 0);
	if (err < 0) {
		error_set(e, EIO, "can't listen to rtnetlink: %s", nl_geterror(err));
		rtnl_close(rtnl);
		return -EIO;
	}
	/* Best effort: without CAP_NET_BROADCAST only our own namespace is heard, and
	 * the reconcile timer finds the rest. */
	setsockopt(rtnl_fd(rtnl), SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on));
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

/* The address of an attribute, which may be missing where len is 0, as a prefix. */
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

/* Not by rtnl_route_parse(): it trusts the lengths of next hops, and never ends where one is 0. */
static int on_route(struct rtnl *rtnl, struct nlmsghdr *header, int nsid)
{
	struct rtnl_change change = {.nsid = nsid};
	const struct rtmsg *message = nlmsg_data(header);
	struct nlattr *attr;
	uint32_t table;

	if (!nlmsg_valid_hdr(header, sizeof(*message)))
		return 0;
	attr = nlmsg_find_attr(header, sizeof(*message), RTA_TABLE);
	table = attr && nla_len(attr) == sizeof(table) ? nla_get_u32(attr) : message->rtm_table;
	attr = nlmsg_find_attr(header, sizeof(*message), RTA_DST);
	/* The local table is about our own addresses: nobody's way to a peer. */
	if (table == RT_TABLE_LOCAL || message->rtm_flags & RTM_F_CLONED ||
	    !to_prefix(message->rtm_family, message->rtm_dst_len, attr, &change.prefix))
		return 0;
	return add_change(rtnl, &change);
}

static int on_address_gone(struct rtnl *rtnl, struct nlmsghdr *header, int nsid)
{
	struct rtnl_change change = {.nsid = nsid, .local = true};
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
 * Of a link that was created everything counts as changed (rtnl_configure_link()): one that is
 * down then has never been up. A port of a bridge or bond has no routes of its own.
 */
static int on_link(struct rtnl *rtnl, struct nlmsghdr *header, int nsid)
{
	const struct ifinfomsg *message = nlmsg_data(header);
	struct rtnl_change change = {.nsid = nsid};

	if (!nlmsg_valid_hdr(header, sizeof(*message)) || message->ifi_index <= 0 ||
	    message->ifi_change == ~0u || !(message->ifi_change & IFF_UP) ||
	    message->ifi_flags & IFF_UP || nlmsg_find_attr(header, sizeof(*message), IFLA_MASTER))
		return RTNL_NAMESPACE;
	change.link = (uint32_t)message->ifi_index;
	return RTNL_NAMESPACE | add_change(rtnl, &change);
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
	}
	return 0;
}

/* The namespace that a message comes from: libnl's own reader drops this. */
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
		if (got < 0 && errno == ENOBUFS) { /* the kernel had to drop some */
			events |= RTNL_OVERRUN;
			continue;
		}
		if (got < 0)
			return error_set(e, errno, "reading rtnetlink events: %s", strerror(errno));
		/* Whoever is root in a namespace can speak to its groups, too: the kernel is 0. */
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

/* One question, one answer: what the callback found lands where it points to. */
static int ask(struct nl_msg *question, nl_recvmsg_msg_cb_t answer, void *arg)
{
	struct nl_sock *socket = nl_socket_alloc();
	int err = socket ? 0 : -NLE_NOMEM;

	if (!err)
		err = nl_connect(socket, NETLINK_ROUTE);
	if (!err)
		err = nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, answer, arg);
	if (!err) {
		nl_socket_disable_auto_ack(socket);
		err = nl_send_auto(socket, question);
	}
	if (err >= 0)
		err = nl_recvmsgs_default(socket);
	nl_socket_free(socket);
	if (err >= 0)
		return 0;
	return err == -NLE_NOMEM ? -ENOMEM : -ENETUNREACH;
}

static bool from_kernel(struct nl_msg *message)
{
	return nlmsg_get_src(message)->nl_pid == 0;
}

static int take_nsid(struct nl_msg *message, void *arg)
{
	struct nlattr *attr =
		nlmsg_find_attr(nlmsg_hdr(message), sizeof(struct rtgenmsg), NETNSA_NSID);
	int *nsid = arg;

	if (attr && from_kernel(message))
		*nsid = (int)nla_get_u32(attr);
	return NL_OK;
}

int rtnl_nsid(int ns_fd, int *nsid)
{
	struct rtgenmsg general = {.rtgen_family = AF_UNSPEC};
	struct nl_msg *question = nlmsg_alloc_simple(RTM_GETNSID, NLM_F_REQUEST);
	int err = -ENOMEM;

	*nsid = RTNL_OWN_NAMESPACE;
	if (question && nlmsg_append(question, &general, sizeof(general), NLMSG_ALIGNTO) == 0 &&
	    nla_put_u32(question, NETNSA_FD, (uint32_t)ns_fd) == 0)
		err = ask(question, take_nsid, nsid);
	nlmsg_free(question);
	return err;
}

static int take_length(struct nl_msg *message, void *arg)
{
	const struct rtmsg *route = nlmsg_data(nlmsg_hdr(message));
	int *length = arg;

	if (nlmsg_hdr(message)->nlmsg_type == RTM_NEWROUTE && from_kernel(message))
		*length = route->rtm_dst_len;
	return NL_OK;
}

int rtnl_matched_length(uint8_t family, const uint8_t address[16])
{
	int size = family == 4 ? 4 : 16, length = -ENETUNREACH, err = -ENOMEM;
	struct rtmsg route = {
		.rtm_family = family == 4 ? AF_INET : AF_INET6,
		.rtm_dst_len = (unsigned char)(size * 8),
		.rtm_flags = RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH,
	};
	struct nl_msg *question = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST);

	if (question && nlmsg_append(question, &route, sizeof(route), NLMSG_ALIGNTO) == 0 &&
	    nla_put(question, RTA_DST, size, address) == 0)
		err = ask(question, take_length, &length);
	nlmsg_free(question);
	return err ? err : length;
}
