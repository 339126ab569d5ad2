/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP sockets of one network namespace as sock_diag(7) has them, filtered by
 * port in the kernel.
 */
#ifndef HOLDFAST_SOCKDIAG_H
#define HOLDFAST_SOCKDIAG_H

#include "error.h"
#include "netns.h"
#include "numbers.h"
#include "rules.h"

#include <stdbool.h>
#include <stdint.h>

/* Ports that some rule names, for the filter that runs in the kernel. */
struct port_filter {
	struct port_range *ranges[2]; /* by enum hf_side: peer's ports, local ports; owned */
	size_t n[2];
};

/* The ports of all rules. -ENOMEM. */
int port_filter_init(struct port_filter *filter, const struct config *config);
void port_filter_free(struct port_filter *filter);

struct diag_socket {
	uint64_t cookie;
	uint64_t cgroup_id;  /* 0: the kernel didn't say (before 5.8) */
	uint32_t inode;	     /* of sockfs; 0: no file any more */
	uint32_t idle_ms;    /* since a packet came from the peer; with `info` */
	uint32_t expires_ms; /* until the timer fires */
	uint8_t timer;	     /* 0 none, 1 retransmission, 2 keepalive, 4 zero window probe */
	uint8_t unanswered;  /* keepalive probes out; with timer 2 */
	uint8_t family;	     /* 4, 6 */
	uint8_t state;	     /* TCP_ESTABLISHED... of <netinet/tcp.h> */
	uint16_t local_port; /* host byte order */
	uint16_t peer_port;
	uint8_t local[16]; /* network byte order; IPv4 in the first four bytes */
	uint8_t peer[16];
};

/* Non-zero stops the dump and is returned by it. */
typedef int (*sockdiag_fn)(const struct diag_socket *socket, void *arg);

/* A socket to the kernel, bound to that namespace. The caller closes it. */
int sockdiag_open_in(const struct netns *ns, struct error *e);

/*
 * All sockets in one of the states (bits 1 << TCP_ESTABLISHED...) whose ports
 * the filter names, IPv4 and IPv6 in one dump. `info`: with idle_ms. A dump that
 * the kernel reports as interrupted comes back as -EINTR: ask again.
 */
int sockdiag_dump(int fd, uint32_t states, const struct port_filter *filter, bool info,
		  sockdiag_fn fn, void *arg, struct error *e);

/* The local ports of the namespace's listeners, sorted. Negative errno: there are none in it. */
int sockdiag_listeners(const struct netns *ns, struct numbers *ports, struct error *e);

/* The ends of a connection, as sock_diag has them. */
struct diag_ends {
	uint64_t cookie;
	uint8_t family; /* 4, 6 */
	uint16_t local_port, peer_port;
	const uint8_t *local, *peer; /* 16 bytes each, as in struct diag_socket */
};

/*
 * The one connection between these ends, if its cookie is the same; with idle_ms. -ENOENT: it
 * isn't found, perhaps since it is bound to a device (which a dump shows, too).
 */
int sockdiag_find(int fd, const struct diag_ends *ends, sockdiag_fn fn, void *arg, struct error *e);

/*
 * One datagram of the answer to such a dump: fn gets each socket of it. *last: no more is to
 * come. As sockdiag_dump() else.
 */
int sockdiag_take(const void *datagram, size_t size, sockdiag_fn fn, void *arg, bool *last,
		  struct error *e);

#endif
