/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages of rtnetlink, as the kernel sends them. */
#ifndef TESTS_HOST_MESSAGES_H
#define TESTS_HOST_MESSAGES_H

#include <linux/rtnetlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

struct message {
	struct nlmsghdr header;
	union {
		struct rtmsg route;
		struct ifaddrmsg address;
		struct ifinfomsg link;
	};
	uint8_t attributes[64];
};

static inline void add_attribute(struct message *message, unsigned short type, const void *data,
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

static inline struct message a_route(uint8_t table, uint32_t flags)
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

#endif
