// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests what the kernel and others say to an rtnetlink socket, in a namespace of its own. */
#include "messages.h"
#include "unit.h"

#include "host/rtnl.h"
#include "host/rtnl_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MANY 200

/* Enters a new network namespace, which has only lo. Returns a descriptor of the one before. */
static int enter_namespace(void)
{
	int before = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_return_code(before, errno);
	if (unshare(CLONE_NEWNET) < 0) {
		close(before);
		skip();
	}
	return before;
}

static void leave_namespace(int before)
{
	assert_int_equal(setns(before, CLONE_NEWNET), 0);
	close(before);
}

static void set_lo(bool up)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = up ? IFF_UP : 0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

/* Messages from a process (root in a namespace can send to the socket) are ignored. */
static void forged(void **state)
{
	struct message message = a_route(RT_TABLE_MAIN, 0);
	struct sockaddr_nl address = {0};
	socklen_t length = sizeof(address);
	int before = enter_namespace(), fd;
	struct rtnl *rtnl;
	size_t n;

	(void)state;
	assert_int_equal(rtnl_open(&rtnl, NULL), 0);
	assert_int_equal(getsockname(rtnl_fd(rtnl), (struct sockaddr *)&address, &length), 0);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	assert_return_code(fd, errno);
	address.nl_groups = 0;
	assert_int_equal(sendto(fd, &message, message.header.nlmsg_len, 0,
				(struct sockaddr *)&address, sizeof(address)),
			 message.header.nlmsg_len);
	assert_int_equal(rtnl_read(rtnl, NULL), 0);
	rtnl_changes(rtnl, &n);
	assert_int_equal(n, 0);
	set_lo(true);
	assert_int_equal(rtnl_read(rtnl, NULL) & RTNL_NAMESPACE, RTNL_NAMESPACE);
	close(fd);
	rtnl_close(rtnl);
	leave_namespace(before);
}

/*
 * Messages that the kernel dropped for lack of room are reported once. The others go with them, and
 * so the kernel adds new ones again.
 */
static void overrun(void **state)
{
	const int room = 1, more = 64 * 1024; /* the kernel raises 1 to its minimum */
	int before = enter_namespace(), i;
	struct rtnl *rtnl;

	(void)state;
	assert_int_equal(rtnl_open(&rtnl, NULL), 0);
	set_lo(true);
	assert_int_equal(rtnl_read(rtnl, NULL) & RTNL_OVERRUN, 0);
	assert_int_equal(setsockopt(rtnl_fd(rtnl), SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	for (i = 0; i < 50; i++)
		set_lo(i % 2);
	assert_int_equal(rtnl_read(rtnl, NULL), RTNL_OVERRUN);
	assert_int_equal(rtnl_read(rtnl, NULL), 0);
	assert_int_equal(setsockopt(rtnl_fd(rtnl), SOL_SOCKET, SO_RCVBUF, &more, sizeof(more)), 0);
	set_lo(false);
	assert_int_equal(rtnl_read(rtnl, NULL) & (RTNL_OVERRUN | RTNL_NAMESPACE), RTNL_NAMESPACE);
	rtnl_close(rtnl);
	leave_namespace(before);
}

/* A socket that can't be read is an error. */
static void unreadable(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct rtnl *rtnl;
	struct error e;

	(void)state;
	assert_int_equal(rtnl_open(&rtnl, NULL), 0);
	assert_return_code(dup2(fd, rtnl_fd(rtnl)), errno);
	close(fd);
	assert_int_equal(rtnl_read(rtnl, &e), -ENOTSOCK);
	assert_non_null(strstr(e.text, "rtnetlink"));
	rtnl_close(rtnl);
}

/* Returns the length of the prefix that routes an address, or a negative errno. */
static int length_of(uint8_t family, const uint8_t address[16], const uint8_t source[16])
{
	struct rtnl_route route;
	int err = rtnl_matched_route(family, address, source, &route);

	return err ? err : route.length;
}

/* The kernel answers which prefix routes an address, and that a namespace has no nsid. */
static void questions(void **state)
{
	const uint8_t near[16] = {127, 0, 0, 5}, itself[16] = {127, 0, 0, 1}, far[16] = {10};
	const uint8_t ours[16] = {[15] = 1}, theirs[16] = {0xfd};
	int before = enter_namespace(), nsid = 5;

	(void)state;
	set_lo(true);
	assert_int_equal(length_of(4, itself, itself), 32);
	assert_int_equal(length_of(4, near, itself), 8);
	assert_int_equal(length_of(4, near, far), 8); /* a proxy's source */
	assert_int_equal(length_of(4, near, NULL), 8);
	assert_int_equal(length_of(4, far, itself), -ENETUNREACH);
	if (access("/proc/net/if_inet6", F_OK) == 0) {
		assert_int_equal(length_of(6, ours, ours), 128);
		assert_true(length_of(6, theirs, NULL) <= 0);
	}
	assert_int_equal(rtnl_nsid(before, &nsid), 0);
	assert_int_equal(nsid, RTNL_OWN_NAMESPACE);
	assert_int_equal(rtnl_give_nsid(before), 0);
	assert_int_equal(rtnl_nsid(before, &nsid), 0);
	assert_true(nsid >= 0);
	assert_int_not_equal(rtnl_give_nsid(before), 0); /* it has one */
	leave_namespace(before);
}

/* Ways that differ have different numbers, and what has no way has one, too. */
static void ways(void **state)
{
	const uint8_t near[16] = {127, 0, 0, 5}, itself[16] = {127, 0, 0, 1}, far[16] = {10};
	int before = enter_namespace();
	uint64_t down, up;

	(void)state;
	down = rtnl_way(4, near, itself);
	assert_int_equal(rtnl_way(4, far, itself), down);
	set_lo(true);
	up = rtnl_way(4, near, itself);
	assert_int_not_equal(up, down);
	assert_int_equal(rtnl_way(4, near, itself), up);
	assert_int_not_equal(rtnl_way(4, near, far), up);
	assert_int_not_equal(rtnl_way(4, near, far), down);
	assert_int_equal(rtnl_way(4, far, itself), down);
	leave_namespace(before);
}

/* An answer to either question. */
struct answer {
	struct nlmsghdr header;
	union {
		struct {
			struct rtgenmsg general;
			uint8_t pad[3];
			struct nlattr attr;
			int32_t nsid;
		};
		struct rtmsg route;
	};
};

static struct answer *forgery; /* NULL: none is sent */
static int n_forged;

/*
 * Takes the place of the C library's function, which libnl calls. Another process of the namespace
 * has its answer on the socket before the question is sent, and knows the sequence number.
 */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct sockaddr_nl address = {0};
	socklen_t length = sizeof(address);
	int theirs;

	if (forgery) {
		forgery->header.nlmsg_seq =
			((const struct nlmsghdr *)message->msg_iov[0].iov_base)->nlmsg_seq;
		theirs = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
		assert_return_code(theirs, errno);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
		forgery->header.nlmsg_pid = address.nl_pid;
		assert_int_equal(sendto(theirs, forgery, forgery->header.nlmsg_len, 0,
					(struct sockaddr *)&address, sizeof(address)),
				 forgery->header.nlmsg_len);
		close(theirs);
		n_forged++;
	}
	return syscall(SYS_sendmsg, fd, message, flags);
}

/* What a process of the namespace answers in the kernel's place isn't believed. */
static void forged_answers(void **state)
{
	const uint8_t near[16] = {127, 0, 0, 5};
	struct answer nsid_is = {
		.header = {.nlmsg_len = NLMSG_LENGTH(4 + 8), .nlmsg_type = RTM_NEWNSID},
		.attr = {.nla_len = 8, .nla_type = NETNSA_NSID},
		.nsid = 77};
	struct answer length_is = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
					      .nlmsg_type = RTM_NEWROUTE},
				   .route = {.rtm_family = AF_INET, .rtm_dst_len = 24}};
	int before = enter_namespace(), nsid = 5;

	(void)state;
	set_lo(true);
	forgery = &nsid_is;
	rtnl_nsid(before, &nsid);
	assert_int_equal(nsid, RTNL_OWN_NAMESPACE);
	forgery = &length_is;
	assert_int_not_equal(length_of(4, near, NULL), 24);
	forgery = NULL;
	assert_int_equal(n_forged, 2);
	leave_namespace(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forged),     cmocka_unit_test(overrun),
		cmocka_unit_test(unreadable), cmocka_unit_test(questions),
		cmocka_unit_test(ways),	      cmocka_unit_test(forged_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
