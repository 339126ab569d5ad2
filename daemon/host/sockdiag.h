/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the TCP sockets of a network namespace through sock_diag(7), with a port filter that the
 * kernel runs.
 */
#ifndef HOLDFAST_HOST_SOCKDIAG_H
#define HOLDFAST_HOST_SOCKDIAG_H

#include "base/error.h"
#include "host/netns.h"
#include "host/port_filter.h"

#include <stdbool.h>
#include <stdint.h>

struct diag_socket {
	uint64_t cookie;
	uint64_t cgroup_id;  /* 0: not reported (before 5.8) */
	uint32_t inode;	     /* sockfs inode; 0: the socket has no file any more */
	uint32_t idle_ms;    /* since the last packet from the peer; needs diag_dump.info */
	uint32_t expires_ms; /* until the timer fires */
	uint8_t timer;	     /* 0 none, 1 retransmission, 2 keepalive, 4 zero window probe */
	uint8_t unanswered;  /* keepalive probes without an answer; with timer 2 */
	uint8_t family;	     /* 4, 6 */
	uint8_t state;	     /* TCP_ESTABLISHED... of <netinet/tcp.h> */
	bool v6only;	     /* an IPv6 listener that takes no IPv4 connections */
	uint16_t local_port; /* host byte order */
	uint16_t peer_port;
	uint8_t local[16]; /* network byte order; IPv4 in the first four bytes */
	uint8_t peer[16];
};

/* Takes one socket. Returns 0, or a value that stops the dump and that the dump then returns. */
typedef int (*sockdiag_fn)(const struct diag_socket *socket, void *arg);

/* Which sockets a dump has, and where they go. */
struct diag_dump {
	uint32_t states; /* bits 1 << TCP_ESTABLISHED... */
	const struct port_filter *filter;
	bool info; /* fill in idle_ms */
	sockdiag_fn fn;
	void (*restart)(void *arg); /* a new try begins: fn is going to get every socket (again) */
	void *arg;		    /* for fn and restart */
};

/*
 * Dumps all sockets of the namespace that are in one of the states and have a port of the filter,
 * IPv4 and IPv6 in one dump. If the kernel reports the dump as interrupted, begins again, a few
 * times. Returns 0, what fn returned, -EINTR if all tries were interrupted, or another negative
 * errno.
 */
int sockdiag_read(const struct netns *ns, const struct diag_dump *dump, struct error *e);

/* Opens a sock_diag socket in that namespace. Returns a descriptor, which the caller closes. */
int sockdiag_open_in(const struct netns *ns, struct error *e);

/*
 * Makes one try of sockdiag_read() through such a socket, without restart(). Returns -EINTR if
 * the kernel reports the dump as interrupted.
 */
int sockdiag_dump(int fd, const struct diag_dump *dump, struct error *e);

/* The two ends of a connection, as sock_diag reports them. */
struct diag_ends {
	uint64_t cookie;
	uint8_t family; /* 4, 6 */
	uint16_t local_port, peer_port;
	const uint8_t *local, *peer; /* 16 bytes each, as in struct diag_socket */
};

/*
 * Looks up the connection between these ends by one request, and passes it to fn, with idle_ms.
 * Returns what fn returned, -ENOENT if there is none with this cookie, or another negative errno.
 * A connection that is bound to a device isn't found, though a dump shows it.
 */
int sockdiag_find(int fd, const struct diag_ends *ends, sockdiag_fn fn, void *arg, struct error *e);

/*
 * Parses one datagram of the answer to a dump, and passes its sockets to fn. Sets *last if no
 * more datagrams follow. Returns as sockdiag_dump() does.
 */
int sockdiag_take(const void *datagram, size_t size, sockdiag_fn fn, void *arg, bool *last,
		  struct error *e);

#endif
