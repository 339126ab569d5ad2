/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks the kernel a question over netlink that has one answer. Asking a part of the kernel that is
 * a module and not loaded loads it: callers make sure before that it is there.
 */
#ifndef HOLDFAST_HOST_NETLINK_ASK_H
#define HOLDFAST_HOST_NETLINK_ASK_H

#include "base/error.h"

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

/* Room for a question or an answer: an entry of connection tracking takes some 500 bytes. */
#define NETLINK_ASK_MAX 8192

struct netlink_message {
	_Alignas(struct nlmsghdr) uint8_t bytes[NETLINK_ASK_MAX];
};

/*
 * Opens a socket in the current network namespace. Returns it, the caller's to close, or a negative
 * errno.
 */
int netlink_ask_open(int protocol, struct error *e);

/* Begins a question. Returns its header, which grows with what is put behind it. */
struct nlmsghdr *netlink_ask_begin(struct netlink_message *question, uint16_t type);

/*
 * Sends the question and reads the answer, without waiting: the kernel has answered before the
 * question has been sent. Returns the length of the answer, or a negative errno.
 */
int netlink_ask(int fd, const struct netlink_message *question, struct netlink_message *answer,
		struct error *e);

/*
 * Finds the first message of an answer. Returns 0, -EPROTO if there is none, or the negative errno
 * that the kernel has answered.
 */
int netlink_ask_take(const void *datagram, size_t size, const struct nlmsghdr **message,
		     struct error *e);

#endif
