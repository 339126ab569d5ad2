// SPDX-License-Identifier: GPL-2.0-or-later
/* rtnetlink events: how they are read from a socket. */
#include "unit.h"

#include "../../daemon/rtnl.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MANY 200

/* A reader whose socket is another one, on whose other end we speak as the kernel. */
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

/* Whoever sends faster than we read doesn't keep us for ever. */
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

struct message {
	struct nlmsghdr header;
	union {
		struct rtmsg route;
		struct ifaddrmsg address;
		struct ifinfomsg link;
	};
	uint8_t attributes[64];
};

static void add_attribute(struct message *message, unsigned short type, const void *data,
			  unsigned short size)
{
	struct rtattr *attr =
		(struct rtattr *)((uint8_t *)message + NLMSG_ALIGN(message->header.nlmsg_len));

	attr->rta_type = type;
	attr->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(attr), data, size);
	message->header.nlmsg_len =
		NLMSG_ALIGN(message->header.nlmsg_len) + RTA_ALIGN(attr->rta_len);
}

/* The changes that one message brings, in a reader that knows none. */
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

/* A link that was up and is taken down moves paths; no other event of a link does. */
static void links(void **state)
{
	const uint32_t master = 3;
	struct rtnl_change change;
	struct message message;

	(void)state;
	message = a_link(IFF_UP | IFF_RUNNING, 0);
	assert_int_equal(take(&message, &change), 1);
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
	message.link.ifi_index = 0; /* of no link */
	assert_int_equal(take(&message, &change), 0);
}

static struct message a_route(uint8_t table, uint32_t flags)
{
	const uint8_t destination[4] = {10, 9, 0, 0};
	struct message message = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
			   .nlmsg_type = RTM_NEWROUTE},
		.route = {.rtm_family = AF_INET,
			  .rtm_dst_len = 16,
			  .rtm_table = table,
			  .rtm_flags = flags},
	};

	add_attribute(&message, RTA_DST, destination, sizeof(destination));
	return message;
}

/* Routes that lead somewhere: not those to ourselves, nor what was cloned from others. */
static void routes(void **state)
{
	const uint32_t local = RT_TABLE_LOCAL, other = 1000;
	struct rtnl_change change;
	struct message message;

	(void)state;
	message = a_route(RT_TABLE_MAIN, 0);
	assert_int_equal(take(&message, &change), 1);
	assert_int_equal(change.link, 0);
	assert_false(change.local);
	assert_int_equal(change.prefix.family, 4);
	assert_int_equal(change.prefix.len, 16);
	message = a_route(RT_TABLE_LOCAL, 0);
	assert_int_equal(take(&message, &change), 0);
	message = a_route(RT_TABLE_COMPAT, 0); /* the attribute says which */
	add_attribute(&message, RTA_TABLE, &other, sizeof(other));
	assert_int_equal(take(&message, &change), 1);
	message = a_route(RT_TABLE_COMPAT, 0);
	add_attribute(&message, RTA_TABLE, &local, sizeof(local));
	assert_int_equal(take(&message, &change), 0);
	message = a_route(RT_TABLE_MAIN, RTM_F_CLONED);
	assert_int_equal(take(&message, &change), 0);
	message = a_route(RT_TABLE_MAIN, 0);
	message.header.nlmsg_type = RTM_DELROUTE;
	assert_int_equal(take(&message, &change), 1);
}

/* Of a link with two ends the address that goes is ours, not the peer's. */
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
	assert_true(change.local);
	assert_int_equal(change.prefix.len, 32);
	assert_memory_equal(change.prefix.addr, ours, sizeof(ours));
	message.header.nlmsg_type = RTM_NEWADDR;
	assert_int_equal(take(&message, &change), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flood_is_read_in_parts),
		cmocka_unit_test(links),
		cmocka_unit_test(routes),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
