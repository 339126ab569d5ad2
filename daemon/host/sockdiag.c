// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/sockdiag.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_SIZE (64u * 1024u)

/* The sequence number of every request: a socket has one request outstanding at most. */
#define SEQUENCE 1

/* How many tries a dump that is interrupted gets. */
#define DUMPS 5

/* The size of the part of struct tcp_info that we read. */
#define INFO_USED                                                                                  \
	(offsetof(struct tcp_info, tcpi_last_ack_recv) +                                           \
	 sizeof(((struct tcp_info *)0)->tcpi_last_ack_recv))

/* MAX_ERRNO, include/linux/err.h. */
#define ERRNO_MAX 4095

static int open_here(void *arg)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	/* A socket connected to the kernel takes no messages from others, who could flood it. */
	if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return error_set(arg, errno, "can't open a sock_diag socket: %s", strerror(errno));
	return take_fd(&fd);
}

int sockdiag_open_in(const struct netns *ns, struct error *e)
{
	return netns_call(ns, open_here, e, e);
}

static int attribute(const struct nlattr *attr, void *data)
{
	struct diag_socket *socket = data;
	struct tcp_info info;

	switch (mnl_attr_get_type(attr)) {
	case INET_DIAG_INFO:
		if (mnl_attr_get_payload_len(attr) < INFO_USED)
			break;
		/* Attributes are aligned to four bytes, struct tcp_info to eight. */
		memcpy(&info, mnl_attr_get_payload(attr), INFO_USED);
		/* As keepalive_time_elapsed() in include/net/tcp.h. */
		socket->idle_ms = info.tcpi_last_data_recv < info.tcpi_last_ack_recv
					  ? info.tcpi_last_data_recv
					  : info.tcpi_last_ack_recv;
		break;
	case INET_DIAG_SKV6ONLY:
		if (mnl_attr_get_payload_len(attr) >= sizeof(uint8_t))
			socket->v6only = mnl_attr_get_u8(attr);
		break;
	case INET_DIAG_CGROUP_ID:
		if (mnl_attr_get_payload_len(attr) >= sizeof(uint64_t))
			socket->cgroup_id = mnl_attr_get_u64(attr);
		break;
	}
	return MNL_CB_OK;
}

/* Passes the socket of a message to fn, and returns what fn returns; 0: it isn't a TCP socket. */
static int take_socket(const struct nlmsghdr *nlh, sockdiag_fn fn, void *arg)
{
	const struct inet_diag_msg *diag = mnl_nlmsg_get_payload(nlh);
	struct diag_socket socket = {0};

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*diag))
		return 0;
	if (diag->idiag_family != AF_INET && diag->idiag_family != AF_INET6)
		return 0;
	socket.cookie = (uint64_t)diag->id.idiag_cookie[1] << 32 | diag->id.idiag_cookie[0];
	socket.inode = diag->idiag_inode;
	socket.expires_ms = diag->idiag_expires;
	socket.timer = diag->idiag_timer;
	socket.unanswered = diag->idiag_timer == 2 ? diag->idiag_retrans : 0;
	socket.family = diag->idiag_family == AF_INET ? 4 : 6;
	socket.state = diag->idiag_state;
	socket.local_port = ntohs(diag->id.idiag_sport);
	socket.peer_port = ntohs(diag->id.idiag_dport);
	memcpy(socket.local, diag->id.idiag_src, socket.family == 4 ? 4 : 16);
	memcpy(socket.peer, diag->id.idiag_dst, socket.family == 4 ? 4 : 16);
	mnl_attr_parse(nlh, sizeof(*diag), attribute, &socket);
	return fn(&socket, arg);
}

/*
 * Asks for a dump. Uses the old TCPDIAG_GETSOCK, which dumps both address families in one pass
 * over the table, where SOCK_DIAG_BY_FAMILY takes two.
 */
static int request(int fd, uint32_t states, const struct port_filter *filter, bool info)
{
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
	_cleanup_free_ struct inet_diag_bc_op *ops = malloc(port_filter_size(filter));
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct inet_diag_req *diag;
	struct nlmsghdr *nlh;
	ssize_t sent;

	if (!buffer || !ops)
		return -ENOMEM;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = TCPDIAG_GETSOCK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = SEQUENCE;
	diag = mnl_nlmsg_put_extra_header(nlh, sizeof(*diag));
	diag->idiag_family = AF_UNSPEC;
	diag->idiag_states = states;
	diag->idiag_ext = info ? 1 << (INET_DIAG_INFO - 1) : 0;
	mnl_attr_put(nlh, INET_DIAG_REQ_BYTECODE, port_filter_compile(filter, ops), ops);

	sent = sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	return sent < 0 ? -errno : 0;
}

/* Reads the status from the end of a dump, or from an error. Returns 0 or a negative errno. */
static int take_status(const struct nlmsghdr *nlh, struct error *e)
{
	/* Both messages begin with the status. */
	int err = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(err))
		memcpy(&err, mnl_nlmsg_get_payload(nlh), sizeof(err));
	if (err == -EOPNOTSUPP || err == -ENOENT)
		return error_set(e, -err,
				 "the kernel has no sock_diag for TCP (modprobe tcp_diag; "
				 "CONFIG_INET_TCP_DIAG)");
	if (err < 0 && err >= -ERRNO_MAX)
		return error_set(e, -err, "sock_diag: %s", strerror(-err));
	return err ? error_set(e, EPROTO, "sock_diag answers with the error %d", err) : 0;
}

/*
 * Doesn't use mnl_cb_run(), which takes lengths as signed numbers and walks off the buffer if
 * one is over 2 GB.
 */
int sockdiag_take(const void *datagram, size_t size, sockdiag_fn fn, void *arg, bool *last,
		  struct error *e)
{
	const uint8_t *at = datagram, *end = at + size;
	const struct nlmsghdr *nlh;
	size_t step;
	int ret;

	*last = false;
	for (; (size_t)(end - at) >= sizeof(*nlh); at += step) {
		nlh = (const void *)at;
		if (nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > (size_t)(end - at))
			return error_set(e, EPROTO, "sock_diag sent a message that is cut off");
		if (nlh->nlmsg_seq != SEQUENCE)
			return error_set(e, EPROTO, "sock_diag answers what wasn't asked");
		if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
			return error_set(e, EINTR, "sock_diag: the sockets changed meanwhile");
		*last = nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR;
		if (*last)
			return take_status(nlh, e);
		if (nlh->nlmsg_type >= NLMSG_MIN_TYPE) {
			ret = take_socket(nlh, fn, arg);
			if (ret == -ENOMEM)
				return error_set(e, ENOMEM, "out of memory");
			if (ret)
				return ret;
		}
		step = ((size_t)nlh->nlmsg_len + MNL_ALIGNTO - 1) / MNL_ALIGNTO * MNL_ALIGNTO;
		if (step > (size_t)(end - at))
			break;
	}
	return 0;
}

/*
 * Receives the next datagram from the kernel. Returns its length or a negative errno. Doesn't use
 * mnl_socket_recvfrom(), which doesn't tell the sender.
 */
static ssize_t receive(int fd, uint8_t *buffer, struct error *e)
{
	for (;;) {
		struct sockaddr_nl sender = {0};
		struct iovec iov = {.iov_base = buffer, .iov_len = BUFFER_SIZE};
		struct msghdr header = {.msg_name = &sender,
					.msg_namelen = sizeof(sender),
					.msg_iov = &iov,
					.msg_iovlen = 1};
		ssize_t got = recvmsg(fd, &header, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_set(e, errno, "reading from sock_diag: %s", strerror(errno));
		/* Root in the namespace can send here, too; only the kernel has port 0. */
		if (sender.nl_pid != 0)
			continue;
		if (header.msg_flags & MSG_TRUNC)
			return error_set(e, EINTR, "sock_diag sent more than was asked for");
		return got;
	}
}

int sockdiag_dump(int fd, const struct diag_dump *dump, struct error *e)
{
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
	bool last = false;
	ssize_t got;
	int ret;

	if (!buffer)
		return error_set(e, ENOMEM, "out of memory");
	ret = request(fd, dump->states, dump->filter, dump->info);
	if (ret)
		return error_set(e, -ret, "asking sock_diag: %s", strerror(-ret));
	while (!ret && !last) {
		got = receive(fd, buffer, e);
		ret = got < 0 ? (int)got
			      : sockdiag_take(buffer, (size_t)got, dump->fn, dump->arg, &last, e);
	}
	return ret;
}

int sockdiag_read(const struct netns *ns, const struct diag_dump *dump, struct error *e)
{
	int err, tries = 0;

	do {
		_cleanup_close_ int fd = sockdiag_open_in(ns, e);

		if (fd < 0)
			return fd;
		dump->restart(dump->arg);
		err = sockdiag_dump(fd, dump, e);
	} while (err == -EINTR && ++tries < DUMPS);
	return err;
}

static int request_one(int fd, const struct diag_ends *ends)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 diag;
	} ask = {
		.header = {.nlmsg_len = sizeof(ask),
			   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			   .nlmsg_flags = NLM_F_REQUEST,
			   .nlmsg_seq = SEQUENCE},
		.diag = {.sdiag_family = ends->family == 4 ? AF_INET : AF_INET6,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_ext = 1 << (INET_DIAG_INFO - 1),
			 .idiag_states = ~0u,
			 .id = {.idiag_sport = htons(ends->local_port),
				.idiag_dport = htons(ends->peer_port),
				.idiag_cookie = {(uint32_t)ends->cookie,
						 (uint32_t)(ends->cookie >> 32)}}},
	};

	memcpy(ask.diag.id.idiag_src, ends->local, sizeof(ask.diag.id.idiag_src));
	memcpy(ask.diag.id.idiag_dst, ends->peer, sizeof(ask.diag.id.idiag_dst));
	return send(fd, &ask, sizeof(ask), 0) < 0 ? -errno : 0;
}

int sockdiag_find(int fd, const struct diag_ends *ends, sockdiag_fn fn, void *arg, struct error *e)
{
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
	bool last;
	ssize_t got;
	int ret;

	if (!buffer)
		return error_set(e, ENOMEM, "out of memory");
	ret = request_one(fd, ends);
	if (ret)
		return error_set(e, -ret, "asking sock_diag: %s", strerror(-ret));
	got = receive(fd, buffer, e);
	if (got < 0)
		return (int)got;
	ret = sockdiag_take(buffer, (size_t)got, fn, arg, &last, e);
	return ret == -ESTALE ? -ENOENT : ret; /* another connection has the same ends by now */
}
