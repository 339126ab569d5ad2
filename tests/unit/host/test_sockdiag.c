// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests how answers to sock_diag dumps are read: the kernel's, forged ones, and broken ones. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "base/util.h"
#include "host/sockdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>

#define FORGED_INODE 0xf00d

struct answer {
	struct nlmsghdr header;
	struct inet_diag_msg diag;
};

static struct answer make_answer(uint16_t type)
{
	return (struct answer){
		.header = {.nlmsg_len = sizeof(struct answer), .nlmsg_type = type, .nlmsg_seq = 1},
		.diag = {.idiag_family = AF_INET, .idiag_inode = FORGED_INODE},
	};
}

static int count(const struct diag_socket *socket, void *arg)
{
	size_t *n = arg;

	(void)socket;
	return ++*n == 3 ? 7 : 0;
}

static void test_broken(void **state)
{
	struct answer answer = make_answer(SOCK_DIAG_BY_FAMILY);
	static const uint32_t lengths[] = {0,	       15,	   sizeof(answer) + 1,
					   0x7fffffff, 0x80000000, 0xffffffff};
	struct error e;
	bool last;
	size_t n = 0, i;

	(void)state;
	assert_int_equal(sockdiag_take(&answer, sizeof(answer), count, &n, &last, &e), 0);
	assert_false(last);
	assert_int_equal(n, 1);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		answer.header.nlmsg_len = lengths[i];
		assert_int_equal(sockdiag_take(&answer, sizeof(answer), count, &n, &last, &e),
				 -EPROTO);
		assert_non_null(strstr(e.text, "cut off"));
	}
	answer = make_answer(SOCK_DIAG_BY_FAMILY);
	answer.header.nlmsg_seq = 2;
	assert_int_equal(sockdiag_take(&answer, sizeof(answer), count, &n, &last, &e), -EPROTO);
	assert_int_equal(n, 1);
}

static void test_ends(void **state)
{
	struct {
		struct nlmsghdr header;
		int error;
	} done = {.header = {.nlmsg_len = sizeof(done), .nlmsg_type = NLMSG_DONE, .nlmsg_seq = 1}};
	struct answer answers[4];
	struct error e;
	size_t n = 0, i;
	bool last;

	(void)state;
	assert_int_equal(sockdiag_take(&done, sizeof(done), count, &n, &last, &e), 0);
	assert_true(last);
	done.header.nlmsg_flags = NLM_F_DUMP_INTR;
	assert_int_equal(sockdiag_take(&done, sizeof(done), count, &n, &last, &e), -EINTR);
	done.header.nlmsg_flags = 0;
	done.header.nlmsg_type = NLMSG_ERROR;
	done.error = -EOPNOTSUPP;
	assert_int_equal(sockdiag_take(&done, sizeof(done), count, &n, &last, &e), -EOPNOTSUPP);
	assert_non_null(strstr(e.text, "modprobe tcp_diag"));
	done.error = -ENOMEM;
	assert_int_equal(sockdiag_take(&done, sizeof(done), count, &n, &last, &e), -ENOMEM);
	/* count() stops the dump. */
	for (i = 0; i < ARRAY_SIZE(answers); i++)
		answers[i] = make_answer(SOCK_DIAG_BY_FAMILY);
	assert_int_equal(sockdiag_take(answers, sizeof(answers), count, &n, &last, &e), 7);
	assert_int_equal(n, 3);
}

static int look(const struct diag_socket *socket, void *arg)
{
	bool *forged = arg;

	*forged = *forged || socket->inode == FORGED_INODE;
	return 0;
}

/*
 * Dumps while a forged answer waits on the socket: a process with CAP_NET_ADMIN in a namespace may
 * send to any netlink socket there. Changes the namespace, so it has to run in a process of its
 * own. Returns 0, the number of the line that failed, or -1 if it can't make a namespace.
 */
static int dump_with_forgery(void)
{
	struct port_range any = {1, 65535};
	struct port_filter filter = {.ranges = {&any, &any}, .n = {1, 1}};
	struct diag_dump dump = {
		.states = 1u << TCP_ESTABLISHED, .filter = &filter, .info = true, .fn = look};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	struct answer answers[2] = {make_answer(SOCK_DIAG_BY_FAMILY), make_answer(NLMSG_DONE)};
	socklen_t size = sizeof(to);
	bool forged = false;
	struct error e;
	int ours, theirs;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -1;
	ours = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	theirs = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	if (bind(ours, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    getsockname(ours, (struct sockaddr *)&to, &size) < 0)
		return __LINE__;
	if (sendto(theirs, answers, sizeof(answers), 0, (struct sockaddr *)&to, sizeof(to)) !=
	    sizeof(answers))
		return __LINE__;
	dump.arg = &forged;
	if (sockdiag_dump(ours, &dump, &e))
		return __LINE__;
	return forged ? __LINE__ : 0;
}

static void test_forged(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(dump_with_forgery() & 0xff);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 0xff)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
