// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes the kernel calls that cannot be avoided, and throws away what they read. Prints the CPU
 * time that each of them took, in seconds.
 *
 *   floor FILE...        read each pinned iterator to its end
 *   floor diag PORT      dump the established sockets with that peer port through sock_diag
 *   floor info PORT      the same dump with struct tcp_info
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[1 << 20];

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		die(path);
	do {
		got = read(fd, buffer, sizeof(buffer));
	} while (got > 0 || (got < 0 && errno == EAGAIN));
	if (got < 0)
		die(path);
	close(fd);
}

static void dump(unsigned port, int info)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req req;
		struct nlattr attr;
		struct inet_diag_bc_op ops[4];
	} ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = TCPDIAG_GETSOCK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.req = {.idiag_family = AF_UNSPEC,
			.idiag_states = 1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT,
			.idiag_ext = info ? 1 << (INET_DIAG_INFO - 1) : 0},
		.attr = {.nla_len = sizeof(struct nlattr) + 16, .nla_type = INET_DIAG_REQ_BYTECODE},
		.ops = {{INET_DIAG_BC_D_GE, 8, 20},
			{INET_DIAG_BC_NOP, 4, (unsigned short)port},
			{INET_DIAG_BC_D_LE, 8, 12},
			{INET_DIAG_BC_NOP, 4, (unsigned short)port}},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	const struct nlmsghdr *head;
	ssize_t got;

	if (fd < 0 || send(fd, &ask, sizeof(ask), 0) < 0)
		die("sock_diag");
	for (;;) {
		got = recv(fd, buffer, sizeof(buffer), 0);
		head = (const struct nlmsghdr *)buffer;
		if (got < (ssize_t)sizeof(*head))
			die("sock_diag");
		if (head->nlmsg_type == NLMSG_ERROR) {
			errno = EINVAL;
			die("sock_diag");
		}
		if (head->nlmsg_type == NLMSG_DONE)
			break;
	}
	close(fd);
}

int main(int argc, char **argv)
{
	double start;
	int i;

	for (i = 1; i < argc; i++) {
		const char *what = argv[i];

		start = now_s();
		if (strcmp(what, "diag") == 0 || strcmp(what, "info") == 0) {
			if (++i == argc)
				return 2;
			dump((unsigned)atoi(argv[i]), what[0] == 'i');
		} else {
			read_file(what);
		}
		printf("%s %.6f\n", what, now_s() - start);
	}
	return 0;
}
