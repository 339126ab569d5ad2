// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/rtnl_ask.h"

#include "base/hash.h"
#include "host/rtnl.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

/* Sends one question and has `answer` take the reply; arg is for `answer`. */
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

/* Sends one request and waits for the kernel's word on it. Returns 0 or a negative errno. */
static int order(struct nl_msg *request)
{
	struct nl_sock *socket = nl_socket_alloc();
	int err = socket ? nl_connect(socket, NETLINK_ROUTE) : -NLE_NOMEM;

	if (!err)
		err = nl_send_auto(socket, request);
	if (err >= 0)
		err = nl_wait_for_ack(socket);
	nl_socket_free(socket);
	return err < 0 ? -EIO : 0;
}

/* Sends a message about the namespace of ns_fd. Returns 0 or a negative errno. */
static int ask_of_namespace(int type, int ns_fd, int *nsid)
{
	struct rtgenmsg general = {.rtgen_family = AF_UNSPEC};
	struct nl_msg *question = nlmsg_alloc_simple(type, NLM_F_REQUEST);
	int err = -ENOMEM;

	if (question && nlmsg_append(question, &general, sizeof(general), NLMSG_ALIGNTO) == 0 &&
	    nla_put_u32(question, NETNSA_FD, (uint32_t)ns_fd) == 0 &&
	    (type == RTM_GETNSID || nla_put_u32(question, NETNSA_NSID, (uint32_t)-1) == 0))
		err = type == RTM_GETNSID ? ask(question, take_nsid, nsid) : order(question);
	nlmsg_free(question);
	return err;
}

int rtnl_nsid(int ns_fd, int *nsid)
{
	*nsid = RTNL_OWN_NAMESPACE;
	return ask_of_namespace(RTM_GETNSID, ns_fd, nsid);
}

int rtnl_give_nsid(int ns_fd)
{
	return ask_of_namespace(RTM_NEWNSID, ns_fd, NULL);
}

/* Asks for a route and has `answer` take the reply. Returns 0 or a negative errno. */
static int ask_route(uint8_t family, const uint8_t address[16], const uint8_t source[16],
		     unsigned flags, nl_recvmsg_msg_cb_t answer, void *arg)
{
	int size = family == 4 ? 4 : 16, err = -ENOMEM;
	struct rtmsg route = {
		.rtm_family = family == 4 ? AF_INET : AF_INET6,
		.rtm_dst_len = (unsigned char)(size * 8),
		.rtm_src_len = (unsigned char)(source ? size * 8 : 0),
		.rtm_flags = flags,
	};
	struct nl_msg *question = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST);

	if (question && nlmsg_append(question, &route, sizeof(route), NLMSG_ALIGNTO) == 0 &&
	    nla_put(question, RTA_DST, size, address) == 0 &&
	    (!source || nla_put(question, RTA_SRC, size, source) == 0))
		err = ask(question, answer, arg);
	nlmsg_free(question);
	return err;
}

static int take_route(struct nl_msg *message, void *arg)
{
	const struct rtmsg *route = nlmsg_data(nlmsg_hdr(message));
	struct nlattr *attr = nlmsg_find_attr(nlmsg_hdr(message), sizeof(*route), RTA_TABLE);
	struct rtnl_route *matched = arg;

	if (nlmsg_hdr(message)->nlmsg_type == RTM_NEWROUTE && from_kernel(message)) {
		matched->length = route->rtm_dst_len;
		matched->table = attr ? nla_get_u32(attr) : route->rtm_table;
	}
	return NL_OK;
}

int rtnl_matched_route(uint8_t family, const uint8_t address[16], const uint8_t source[16],
		       struct rtnl_route *route)
{
	const unsigned flags = RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH;
	int err;

	*route = (struct rtnl_route){.length = -1};
	err = ask_route(family, address, source, flags, take_route, route);
	if (err) /* the source may be a foreign address, as of a proxy */
		err = ask_route(family, address, NULL, flags, take_route, route);
	return err ? err : route->length < 0 ? -ENETUNREACH : 0;
}

static int take_way(struct nl_msg *message, void *arg)
{
	static const uint8_t types[] = {RTA_OIF, RTA_GATEWAY, RTA_VIA, RTA_PREFSRC};
	const struct rtmsg *route = nlmsg_data(nlmsg_hdr(message));
	size_t i;

	if (nlmsg_hdr(message)->nlmsg_type != RTM_NEWROUTE || !from_kernel(message))
		return NL_OK;
	hash_add(arg, &route->rtm_type, sizeof(route->rtm_type));
	for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
		struct nlattr *attr = nlmsg_find_attr(nlmsg_hdr(message), sizeof(*route), types[i]);

		if (attr) {
			hash_add(arg, &types[i], sizeof(types[i]));
			hash_add(arg, nla_data(attr), (size_t)nla_len(attr));
		}
	}
	return NL_OK;
}

uint64_t rtnl_way(uint8_t family, const uint8_t address[16], const uint8_t source[16])
{
	uint64_t hash = HASH_BEGIN;

	ask_route(family, address, source, 0, take_way, &hash);
	if (hash == HASH_BEGIN) { /* the source may be a foreign address, as of a proxy */
		hash++;
		ask_route(family, address, NULL, 0, take_way, &hash);
	}
	return hash;
}
