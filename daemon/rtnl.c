// SPDX-License-Identifier: GPL-2.0-or-later
#include "rtnl.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

#define RECEIVE_BUFFER (1024 * 1024)

struct rtnl {
	struct nl_sock *socket;
	int events; /* gathered while reading */
};

static int on_message(struct nl_msg *message, void *arg)
{
	struct rtnl *rtnl = arg;

	switch (nlmsg_hdr(message)->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
	case RTM_NEWNSID:
	case RTM_DELNSID:
		rtnl->events |= RTNL_NAMESPACE;
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		rtnl->events |= RTNL_ROUTE;
		break;
	}
	return NL_OK;
}

int rtnl_open(struct rtnl **out, struct error *e)
{
	struct rtnl *rtnl = calloc(1, sizeof(*rtnl));
	const int on = 1;
	int err;

	if (!rtnl)
		return error_set(e, ENOMEM, "out of memory");
	rtnl->socket = nl_socket_alloc();
	if (!rtnl->socket) {
		free(rtnl);
		return error_set(e, ENOMEM, "out of memory");
	}
	nl_socket_disable_seq_check(rtnl->socket);
	nl_socket_modify_cb(rtnl->socket, NL_CB_VALID, NL_CB_CUSTOM, on_message, rtnl);
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
	free(rtnl);
}

int rtnl_fd(const struct rtnl *rtnl)
{
	return nl_socket_get_fd(rtnl->socket);
}

int rtnl_read(struct rtnl *rtnl, struct error *e)
{
	int err;

	rtnl->events = 0;
	do {
		err = nl_recvmsgs_default(rtnl->socket);
		if (err == -NLE_NOMEM) { /* ENOBUFS: the kernel had to drop some */
			rtnl->events |= RTNL_OVERRUN;
			err = 0;
		}
	} while (err >= 0 || err == -NLE_INTR);
	if (err != -NLE_AGAIN)
		return error_set(e, EIO, "reading rtnetlink events: %s", nl_geterror(err));
	return rtnl->events;
}
