// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/connection.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/socket.h>

/* Of <netinet/tcp.h>, which doesn't go with <linux/tcp.h>. */
enum {
	STATE_ESTABLISHED = 1,
	STATE_CLOSE = 7,
	STATE_CLOSE_WAIT = 8,
	STATE_LAST_ACK = 9,
	STATE_CLOSING = 11,
};

/* As many as there may be: the kernel isn't to give up on the connection, we do. */
#define PROBES_MAX 127

static bool read_info(int fd, struct tcp_info *info)
{
	socklen_t size = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

/* IPv4 as four bytes, mapped or not. */
static bool is_peer(const struct sockaddr_storage *address, uint8_t family, const uint8_t peer[16],
		    uint16_t port)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;

	if (address->ss_family == AF_INET)
		return family == 4 && ntohs(in->sin_port) == port &&
		       memcmp(&in->sin_addr, peer, 4) == 0;
	if (address->ss_family != AF_INET6 || ntohs(in6->sin6_port) != port)
		return false;
	if (family == 4)
		return IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) &&
		       memcmp(&in6->sin6_addr.s6_addr[12], peer, 4) == 0;
	return memcmp(&in6->sin6_addr, peer, 16) == 0;
}

bool connection_is_to(int fd, uint8_t family, const uint8_t peer[16], uint16_t port,
		      uint64_t *cookie)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address), number = sizeof(int), cookie_size = sizeof(*cookie);
	struct tcp_info info;
	int protocol;

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &number) == 0 &&
	       protocol == IPPROTO_TCP &&
	       getpeername(fd, (struct sockaddr *)&address, &size) == 0 &&
	       is_peer(&address, family, peer, port) && read_info(fd, &info) &&
	       info.tcpi_state == STATE_ESTABLISHED &&
	       getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &cookie_size) == 0;
}

/*
 * SO_ERROR would take the error away from the command, whose it is. A command that reads its end of
 * a connection that was reset has taken it; what was closed by the peer goes through other states.
 */
static enum connection_state state_of(int fd, const struct tcp_info *info)
{
	struct pollfd look = {.fd = fd, .events = POLLRDHUP};

	switch (info->tcpi_state) {
	case STATE_ESTABLISHED:
		return CONNECTION_OPEN;
	case STATE_CLOSE_WAIT:
	case STATE_LAST_ACK:
	case STATE_CLOSING:
		return CONNECTION_CLOSED;
	case STATE_CLOSE:
		return CONNECTION_RESET;
	default:
		return poll(&look, 1, 0) == 1 && look.revents & POLLERR ? CONNECTION_RESET
									: CONNECTION_LEFT;
	}
}

int connection_look(int fd, struct connection_look *look)
{
	socklen_t size = sizeof(int);
	struct tcp_info info;
	uint32_t data_ms;
	int on = 0;

	*look = (struct connection_look){0};
	if (!read_info(fd, &info) || getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, &size) < 0)
		return errno > 0 ? -errno : -EIO;
	data_ms = info.tcpi_last_data_sent < info.tcpi_last_data_recv ? info.tcpi_last_data_sent
								      : info.tcpi_last_data_recv;
	*look = (struct connection_look){
		.state = state_of(fd, &info),
		.keepalive = on != 0,
		.packets = info.tcpi_segs_in + info.tcpi_segs_out,
		.packets_in = info.tcpi_segs_in,
		.idle_ms = data_ms < info.tcpi_last_ack_recv ? data_ms : info.tcpi_last_ack_recv,
		.data_idle_ms = data_ms,
	};
	return 0;
}

static int set(int fd, int level, int option, int value, struct error *e)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		return error_set(e, errno, "can't set keepalive on the command's connection: %s",
				 strerror(errno));
	return 0;
}

int connection_silence(int fd, struct error *e)
{
	return set(fd, SOL_SOCKET, SO_KEEPALIVE, 0, e);
}

/* On last but one, then the time: what has idled for longer is probed at once. */
int connection_probe(int fd, struct error *e)
{
	int err = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0, e);

	if (!err)
		err = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1, e);
	if (!err)
		err = set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES_MAX, e);
	if (!err)
		err = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1, e);
	return err ? err : set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 1, e);
}
