// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests how rtnetlink events are parsed, and read in parts. */
#include "messages.h"
#include "unit.h"

#include "host/rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 200

/* Opens a reader with a socket of the test's own. Returns the other end, on which to play kernel.
 */
static int open_pair(struct rtnl **rtnl)
{
	int ends[2];

	assert_int_equal(rtnl_open(rtnl, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	assert_return_code(dup2(ends[1], rtnl_fd(*rtnl)), 0);
	close(ends[1]);
	return ends[0];
}

static void send_many(int fd, uint16_t type)
{
	struct {
		struct nlmsghdr header;
		struct rtgenmsg general;
	} message = {.header = {.nlmsg_len = sizeof(message), .nlmsg_type = type}};
	int i;

	for (i = 0; i < MANY; i++)
		assert_int_equal(send(fd, &message, sizeof(message), MSG_DONTWAIT),
				 (int)sizeof(message));
}

/* A call reads only a part of a flood. */
static void flood_is_read_in_parts(void **state)
{
	struct rtnl *rtnl;
	int fd = open_pair(&rtnl), reads = 0;
	char byte;

	(void)state;
	send_many(fd, RTM_NEWNSID);
	assert_int_equal(rtnl_read(rtnl, NULL), RTNL_NAMESPACE);
	assert_int_equal(recv(rtnl_fd(rtnl), &byte, 1, MSG_DONTWAIT | MSG_PEEK), 1);
	while (rtnl_read(rtnl, NULL) == RTNL_NAMESPACE)
		reads++;
	assert_in_range(reads, 1, MANY - 1);
	assert_int_equal(rtnl_read(rtnl, NULL), 0);
	close(fd);
	rtnl_close(rtnl);
}

/* Parses one message with a new reader. Returns how many changes it brings; *change: the first. */
static size_t take(struct message *message, struct rtnl_change *change)
{
	const struct rtnl_change *list;
	struct rtnl *rtnl;
	size_t n;

	assert_int_equal(rtnl_open(&rtnl, NULL), 0);
	rtnl_take(rtnl, message, message->header.nlmsg_len, 7);
	list = rtnl_changes(rtnl, &n);
	if (n)
		*change = list[0];
	rtnl_close(rtnl);
	return n;
}

static struct message a_link(uint32_t change, uint32_t flags)
{
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
			   .nlmsg_type = RTM_NEWLINK},
		.link = {.ifi_index = 12, .ifi_change = change, .ifi_flags = flags},
	};

	return message;
}

/* A link that is taken down is a change; no other event of a link is. */
static void links(void **state)
{
	const uint32_t master = 3;
	struct rtnl_change change;
	struct message message;

	(void)state;
	message = a_link(IFF_UP | IFF_RUNNING, 0);
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.what, RTNL_LINK);
	assert_int_equal(change.link, 12);
	assert_int_equal(change.nsid, 7);
	add_attribute(&message, IFLA_MASTER, &master, sizeof(master)); /* a bridge's port */
	assert_int_equal(take(&message, &change), 0);
	message = a_link(~0u, 0); /* created, and down */
	assert_int_equal(take(&message, &change), 0);
	message = a_link(IFF_UP, IFF_UP); /* comes up */
	assert_int_equal(take(&message, &change), 0);
	message = a_link(0, 0); /* another MTU, while it is down */
	assert_int_equal(take(&message, &change), 0);
	message = a_link(IFF_RUNNING, IFF_UP); /* no carrier: routes stay */
	assert_int_equal(take(&message, &change), 0);
	message = a_link(IFF_UP, 0);
	message.link.ifi_index = 0; /* names no link */
	assert_int_equal(take(&message, &change), 0);
}

/* Routes are changes, except local ones and those cloned from other routes. */
static void routes(void **state)
{
	const uint32_t local = RT_TABLE_LOCAL, other = 1000;
	struct rtnl_change change;
	struct message message;

	(void)state;
	message = a_route(RT_TABLE_MAIN, 0);
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.what, RTNL_ROUTE);
	assert_int_equal(change.table, RT_TABLE_MAIN);
	assert_int_equal(change.prefix.family, 4);
	assert_int_equal(change.prefix.len, 16);
	message = a_route(RT_TABLE_LOCAL, 0);
	assert_int_equal(take(&message, &change), 0);
	message = a_route(RT_TABLE_COMPAT, 0); /* the table is in an attribute */
	add_attribute(&message, RTA_TABLE, &other, sizeof(other));
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.table, other);
	message = a_route(RT_TABLE_COMPAT, 0);
	add_attribute(&message, RTA_TABLE, &local, sizeof(local));
	assert_int_equal(take(&message, &change), 0);
	message = a_route(RT_TABLE_MAIN, RTM_F_CLONED);
	assert_int_equal(take(&message, &change), 0);
	message = a_route(RT_TABLE_MAIN, 0);
	message.header.nlmsg_type = RTM_DELROUTE;
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.what, RTNL_ROUTE_GONE);
}

/* Policy rules and nexthop objects may change any route. A burst of them is one change. */
static void any(void **state)
{
	static const uint16_t types[] = {RTM_NEWRULE, RTM_DELRULE, RTM_NEWNEXTHOP, RTM_DELNEXTHOP};
	struct message message = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg))}};
	const struct rtnl_change *list;
	struct rtnl *rtnl;
	size_t i, n;

	(void)state;
	assert_int_equal(rtnl_open(&rtnl, NULL), 0);
	for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
		message.header.nlmsg_type = types[i];
		assert_int_equal(rtnl_take(rtnl, &message, message.header.nlmsg_len, 7), RTNL_PATH);
	}
	list = rtnl_changes(rtnl, &n);
	assert_int_equal(n, 1);
	assert_int_equal(list[0].what, RTNL_ANY);
	assert_int_equal(list[0].nsid, 7);
	assert_int_equal(rtnl_take(rtnl, &message, message.header.nlmsg_len, 8), RTNL_PATH);
	list = rtnl_changes(rtnl, &n);
	assert_int_equal(n, 2);
	assert_int_equal(list[1].nsid, 8);
	rtnl_close(rtnl);
}

/* On a point-to-point link the local address counts, not the peer's. */
static void addresses(void **state)
{
	const uint8_t ours[4] = {10, 1, 0, 1}, peers[4] = {10, 1, 0, 2};
	struct rtnl_change change;
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
			   .nlmsg_type = RTM_DELADDR},
		.address = {.ifa_family = AF_INET, .ifa_prefixlen = 32},
	};

	(void)state;
	add_attribute(&message, IFA_ADDRESS, peers, sizeof(peers));
	add_attribute(&message, IFA_LOCAL, ours, sizeof(ours));
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.what, RTNL_ADDRESS);
	assert_int_equal(change.prefix.len, 32);
	assert_memory_equal(change.prefix.addr, ours, sizeof(ours));
	message.header.nlmsg_type = RTM_NEWADDR;
	assert_int_equal(take(&message, &change), 0);
}

/* Messages that are cut off or inconsistent are left out. */
static void malformed(void **state)
{
	const uint8_t octets[16] = {10};
	struct rtnl_change change;
	struct message message, whole;

	(void)state;
	whole = a_route(RT_TABLE_MAIN, 0);
	message = whole;
	message.route.rtm_dst_len = 33;
	assert_int_equal(take(&message, &change), 0);
	message.route.rtm_dst_len = 32;
	assert_int_equal(take(&message, &change), 1);
	message.route.rtm_family = AF_INET6; /* but the address is IPv4 */
	assert_int_equal(take(&message, &change), 0);
	message.route.rtm_family = AF_UNIX;
	assert_int_equal(take(&message, &change), 0);
	message = whole;
	message.header.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)); /* the address is missing */
	assert_int_equal(take(&message, &change), 0);
	message.route.rtm_dst_len = 0; /* the default route has none */
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.prefix.len, 0);
	message = whole;
	message.header.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg) - 1);
	assert_int_equal(take(&message, &change), 0);
	message = (struct message){
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
			   .nlmsg_type = RTM_DELADDR},
		.address = {.ifa_family = AF_INET6, .ifa_prefixlen = 64},
	};
	assert_int_equal(take(&message, &change), 0);
	add_attribute(&message, IFA_ADDRESS, octets, sizeof(octets));
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.prefix.family, 6);
	assert_int_equal(change.prefix.len, 128); /* the address itself, not its prefix */
}

/* More changes than rtnl keeps are an overrun. rtnl_forget() makes room for others. */
static void too_many_changes(void **state)
{
	struct message message = a_route(RT_TABLE_MAIN, 0);
	struct rtnl *rtnl;
	size_t n, i;

	(void)state;
	assert_int_equal(rtnl_open(&rtnl, NULL), 0);
	for (i = 0; i < 16384; i++)
		assert_int_equal(rtnl_take(rtnl, &message, message.header.nlmsg_len, 7), RTNL_PATH);
	assert_int_equal(rtnl_take(rtnl, &message, message.header.nlmsg_len, 7), RTNL_OVERRUN);
	rtnl_changes(rtnl, &n);
	assert_int_equal(n, 16384);
	rtnl_forget(rtnl);
	rtnl_changes(rtnl, &n);
	assert_int_equal(n, 0);
	assert_int_equal(rtnl_take(rtnl, &message, message.header.nlmsg_len, 7), RTNL_PATH);
	rtnl_close(rtnl);
}

/* A datagram that doesn't fit into the buffer is parsed as far as it goes, and is an overrun. */
static void too_long(void **state)
{
	static uint8_t datagram[64 * 1024 + 1];
	struct message message = a_route(RT_TABLE_MAIN, 0);
	const int room = 4 * sizeof(datagram);
	struct rtnl *rtnl;
	int fd = open_pair(&rtnl);

	(void)state;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	memcpy(datagram, &message, message.header.nlmsg_len);
	assert_int_equal(send(fd, datagram, sizeof(datagram) - 1, MSG_DONTWAIT),
			 sizeof(datagram) - 1);
	assert_int_equal(rtnl_read(rtnl, NULL), RTNL_PATH);
	assert_int_equal(send(fd, datagram, sizeof(datagram), MSG_DONTWAIT), sizeof(datagram));
	assert_int_equal(rtnl_read(rtnl, NULL), RTNL_PATH | RTNL_OVERRUN);
	close(fd);
	rtnl_close(rtnl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flood_is_read_in_parts),
		cmocka_unit_test(links),
		cmocka_unit_test(routes),
		cmocka_unit_test(any),
		cmocka_unit_test(addresses),
		cmocka_unit_test(malformed),
		cmocka_unit_test(too_many_changes),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
