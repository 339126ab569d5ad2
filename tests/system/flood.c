// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sends forged route events, in the kernel's name and without a pause, to every listener on
 * RTMGRP_IPV4_ROUTE, as root of a container can in its own network namespace.
 *
 *   flood THREADS
 *
 * Prints "ready" once it has begun, and runs until it is killed.
 */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64

static void *flood(void *arg)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
	} message = {
		.header = {.nlmsg_len = sizeof(message), .nlmsg_type = RTM_NEWROUTE},
		.route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN},
	};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_ROUTE};
	struct iovec iov = {.iov_base = &message, .iov_len = sizeof(message)};
	struct mmsghdr batch[BATCH] = {0};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	int i;

	(void)arg;
	for (i = 0; i < BATCH; i++) {
		batch[i].msg_hdr.msg_name = &to;
		batch[i].msg_hdr.msg_namelen = sizeof(to);
		batch[i].msg_hdr.msg_iov = &iov;
		batch[i].msg_hdr.msg_iovlen = 1;
	}
	for (;;)
		sendmmsg(fd, batch, BATCH, MSG_DONTWAIT);
	return NULL;
}

int main(int argc, char **argv)
{
	int n = argc == 2 ? atoi(argv[1]) : 0;
	pthread_t thread;

	if (n < 1)
		return 2;
	for (; n > 0; n--)
		pthread_create(&thread, NULL, flood, NULL);
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
