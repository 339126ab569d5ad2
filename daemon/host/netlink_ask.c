// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/netlink_ask.h"

#include "base/util.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <string.h>
#include <sys/socket.h>

/* The sequence number of every question: a socket has one outstanding at most. */
#define SEQUENCE 1

/* So many messages that others have sent are skipped before an answer. */
#define FORGED_MOST 16

/* MAX_ERRNO, include/linux/err.h. */
#define ERRNO_MAX 4095

int netlink_ask_open(int protocol, struct error *e)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	/* A socket connected to the kernel takes no messages from others, who could flood it. */
	if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return error_set(e, errno, "can't open a netlink socket: %s", strerror(errno));
	return take_fd(&fd);
}

struct nlmsghdr *netlink_ask_begin(struct netlink_message *question, uint16_t type)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(question->bytes);

	header->nlmsg_type = type;
	header->nlmsg_flags = NLM_F_REQUEST;
	header->nlmsg_seq = SEQUENCE;
	return header;
}

int netlink_ask(int fd, const struct netlink_message *question, struct netlink_message *answer,
		struct error *e)
{
	const struct nlmsghdr *header = (const void *)question->bytes;
	int tries;

	if (send(fd, header, header->nlmsg_len, 0) < 0)
		return error_set(e, errno, "asking over netlink: %s", strerror(errno));
	for (tries = 0; tries < FORGED_MOST; tries++) {
		struct sockaddr_nl sender = {0};
		struct iovec iov = {.iov_base = answer->bytes, .iov_len = sizeof(answer->bytes)};
		struct msghdr message = {.msg_name = &sender,
					 .msg_namelen = sizeof(sender),
					 .msg_iov = &iov,
					 .msg_iovlen = 1};
		ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set(e, errno, "no answer over netlink: %s", strerror(errno));
		/* Root in the namespace can send here, too; only the kernel has port 0. */
		if (sender.nl_pid != 0)
			continue;
		if (message.msg_flags & MSG_TRUNC)
			return error_set(e, EPROTO, "an answer over netlink is too long");
		return (int)got;
	}
	return error_set(e, EPROTO, "no answer over netlink");
}

/* Reads the kernel's errno from an error message. */
static int take_error(const struct nlmsghdr *header, struct error *e)
{
	int err = 0;

	if (mnl_nlmsg_get_payload_len(header) >= sizeof(err))
		memcpy(&err, mnl_nlmsg_get_payload(header), sizeof(err));
	if (err < 0 && err >= -ERRNO_MAX)
		return error_set(e, -err, "the kernel answers: %s", strerror(-err));
	return error_set(e, EPROTO, "the kernel answers with the error %d", err);
}

int netlink_ask_take(const void *datagram, size_t size, const struct nlmsghdr **message,
		     struct error *e)
{
	const struct nlmsghdr *header = datagram;

	*message = NULL;
	if (size < sizeof(*header) || header->nlmsg_len < sizeof(*header) ||
	    header->nlmsg_len > size)
		return error_set(e, EPROTO, "an answer over netlink is cut off");
	if (header->nlmsg_seq != SEQUENCE)
		return error_set(e, EPROTO, "an answer over netlink is to another question");
	if (header->nlmsg_type == NLMSG_ERROR)
		return take_error(header, e);
	if (header->nlmsg_type < NLMSG_MIN_TYPE)
		return error_set(e, EPROTO, "an answer over netlink says nothing");
	*message = header;
	return 0;
}
