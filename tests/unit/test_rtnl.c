// SPDX-License-Identifier: GPL-2.0-or-later
/* rtnetlink events: how they are read from a socket. */
#include "unit.h"

#include "../../daemon/rtnl.h"

#include <linux/rtnetlink.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flood_is_read_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
