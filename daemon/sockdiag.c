// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockdiag.h"

#include "conf_value.h"
#include "util.h"

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

/* Each dump has a socket of its own. */
#define SEQUENCE 1

/* TCP_LISTEN of <netinet/tcp.h>, which doesn't go with <linux/tcp.h>. */
#define STATE_LISTEN 10

/* How often an interrupted dump is asked for again. */
#define DUMPS 5

/* Of struct tcp_info, as far as we read. */
#define INFO_USED                                                                                  \
	(offsetof(struct tcp_info, tcpi_last_ack_recv) +                                           \
	 sizeof(((struct tcp_info *)0)->tcpi_last_ack_recv))

/* MAX_ERRNO, include/linux/err.h. */
#define ERRNO_MAX 4095

/*
 * A range takes three instructions, 20 bytes; jumps are 16 bits wide. Rules
 * with more ranges than fit are asked for by their outermost ports.
 */
#define RANGE_BYTES 20u
#define RANGES_MAX  1000u

static size_t merge(struct port_range *ranges, size_t n)
{
	n = value_merge_ports(ranges, n);
	if (n > RANGES_MAX / 2) {
		ranges[0].last = ranges[n - 1].last;
		n = 1;
	}
	return n;
}

int port_filter_init(struct port_filter *filter, const struct config *config)
{
	size_t i, j, total = 0;
	int side;

	*filter = (struct port_filter){0};
	for (i = 0; i < config->n_rules; i++)
		total += config->rules[i].n_ports;
	for (side = 0; side < 2; side++) {
		filter->ranges[side] = calloc(total + 1, sizeof(struct port_range));
		if (!filter->ranges[side]) {
			port_filter_free(filter);
			return -ENOMEM;
		}
	}
	for (i = 0; i < config->n_rules; i++) {
		const struct rule *rule = &config->rules[i];

		for (j = 0; j < rule->n_ports; j++) {
			if (rule->side != RULE_SIDE_SERVER)
				filter->ranges[HF_SIDE_CLIENT][filter->n[HF_SIDE_CLIENT]++] =
					rule->ports[j];
			if (rule->side != RULE_SIDE_CLIENT)
				filter->ranges[HF_SIDE_SERVER][filter->n[HF_SIDE_SERVER]++] =
					rule->ports[j];
		}
	}
	for (side = 0; side < 2; side++)
		filter->n[side] = merge(filter->ranges[side], filter->n[side]);
	return 0;
}

void port_filter_free(struct port_filter *filter)
{
	free(filter->ranges[0]);
	free(filter->ranges[1]);
	*filter = (struct port_filter){0};
}

/*
 * The filter as inet_diag bytecode: for each range "port >= first and port <=
 * last, then jump to the end"; falling off every range jumps behind the end,
 * which rejects (inet_diag_bc_run()). A comparison's port stands in the `no` of
 * an instruction that follows it.
 */
static size_t compile_filter(const struct port_filter *filter, struct inet_diag_bc_op *ops)
{
	static const uint8_t at_least[2] = {INET_DIAG_BC_D_GE, INET_DIAG_BC_S_GE};
	static const uint8_t at_most[2] = {INET_DIAG_BC_D_LE, INET_DIAG_BC_S_LE};
	size_t total = (filter->n[0] + filter->n[1]) * RANGE_BYTES + sizeof(*ops);
	size_t at = 0, i;
	int side;

	for (side = 0; side < 2; side++) {
		for (i = 0; i < filter->n[side]; i++) {
			const struct port_range *range = &filter->ranges[side][i];

			ops[0] = (struct inet_diag_bc_op){at_least[side], 8, RANGE_BYTES};
			ops[1] = (struct inet_diag_bc_op){INET_DIAG_BC_NOP, 4, range->first};
			ops[2] = (struct inet_diag_bc_op){at_most[side], 8, RANGE_BYTES - 8};
			ops[3] = (struct inet_diag_bc_op){INET_DIAG_BC_NOP, 4, range->last};
			ops[4] = (struct inet_diag_bc_op){INET_DIAG_BC_JMP, 4,
							  (uint16_t)(total - at - 16)};
			ops += RANGE_BYTES / sizeof(*ops);
			at += RANGE_BYTES;
		}
	}
	*ops = (struct inet_diag_bc_op){INET_DIAG_BC_JMP, 4, 8}; /* reject */
	return total;
}

static int open_here(void *arg)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	/* Connected to the kernel it takes nothing from anybody else, who could keep us busy. */
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
		/* Attributes are aligned to four bytes, this to eight. */
		memcpy(&info, mnl_attr_get_payload(attr), INFO_USED);
		/* As keepalive_time_elapsed() has it, include/net/tcp.h. */
		socket->idle_ms = info.tcpi_last_data_recv < info.tcpi_last_ack_recv
					  ? info.tcpi_last_data_recv
					  : info.tcpi_last_ack_recv;
		break;
	case INET_DIAG_CGROUP_ID:
		if (mnl_attr_get_payload_len(attr) >= sizeof(uint64_t))
			socket->cgroup_id = mnl_attr_get_u64(attr);
		break;
	}
	return MNL_CB_OK;
}

/* What fn returns; 0 also where it isn't a socket of ours. */
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
 * TCPDIAG_GETSOCK, the request of the first days, is the one that dumps both
 * address families in one pass over the table; SOCK_DIAG_BY_FAMILY takes two.
 */
static int request(int fd, uint32_t states, const struct port_filter *filter, bool info)
{
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
	_cleanup_free_ struct inet_diag_bc_op *ops =
		malloc((filter->n[0] + filter->n[1]) * RANGE_BYTES + sizeof(*ops));
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
	mnl_attr_put(nlh, INET_DIAG_REQ_BYTECODE, compile_filter(filter, ops), ops);

	sent = sendto(fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	return sent < 0 ? -errno : 0;
}

/* The end of a dump, or an error: what the kernel has to say. */
static int take_status(const struct nlmsghdr *nlh, struct error *e)
{
	/* An error begins with the same number as the end of a dump. */
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

/* mnl_cb_run() takes lengths for signed ones, and walks off the buffer with those over 2 GB. */
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

/* The next datagram from the kernel; how long it is. */
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
		/* Whoever is root in that namespace can send to us, too: the kernel is 0. */
		if (sender.nl_pid != 0)
			continue;
		if (header.msg_flags & MSG_TRUNC)
			return error_set(e, EINTR, "sock_diag sent more than was asked for");
		return got;
	}
}

int sockdiag_dump(int fd, uint32_t states, const struct port_filter *filter, bool info,
		  sockdiag_fn fn, void *arg, struct error *e)
{
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
	bool last = false;
	ssize_t got;
	int ret;

	if (!buffer)
		return error_set(e, ENOMEM, "out of memory");
	ret = request(fd, states, filter, info);
	if (ret)
		return error_set(e, -ret, "asking sock_diag: %s", strerror(-ret));
	while (!ret && !last) {
		got = receive(fd, buffer, e);
		ret = got < 0 ? (int)got : sockdiag_take(buffer, (size_t)got, fn, arg, &last, e);
	}
	return ret;
}

static int add_port(const struct diag_socket *socket, void *arg)
{
	return numbers_add(arg, socket->local_port);
}

int sockdiag_listeners(const struct netns *ns, struct numbers *ports, struct error *e)
{
	struct port_range every = {1, 65535};
	const struct port_filter filter = {.ranges = {[HF_SIDE_SERVER] = &every},
					   .n = {[HF_SIDE_SERVER] = 1}};
	int err, tries = 0;

	do {
		_cleanup_close_ int fd = sockdiag_open_in(ns, e);

		if (fd < 0)
			return fd;
		numbers_free(ports);
		err = sockdiag_dump(fd, 1u << STATE_LISTEN, &filter, false, add_port, ports, e);
	} while (err == -EINTR && ++tries < DUMPS);
	if (err)
		numbers_free(ports);
	numbers_sort(ports);
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
	return ret == -ESTALE ? -ENOENT : ret; /* another one between the same ends by now */
}
