/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Knows at which addresses and ports the sockets of a network namespace listen. */
#ifndef HOLDFAST_HOST_LISTENERS_H
#define HOLDFAST_HOST_LISTENERS_H

#include "host/netns.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A listener, as struct hf_listener has it; one for IPv4 and IPv6 is there twice. */
struct listener {
	uint8_t local[16]; /* network byte order; IPv4 as IPv4-mapped IPv6; all: 0.0.0.0 or :: */
	uint16_t port;	   /* host byte order */
};

/* The listeners of a namespace; all zero: none. */
struct listeners {
	struct listener *list; /* sorted; owned */
	size_t n, room;
};

struct diag_socket;

/* Reads the listeners of the namespace. Returns 0, or a negative errno and no listeners. */
int listeners_read(const struct netns *ns, struct listeners *listeners, struct error *e);
void listeners_free(struct listeners *listeners);

/* Adds a listener that sock_diag reports. Returns 0 or -ENOMEM. */
int listeners_add(struct listeners *listeners, const struct diag_socket *socket);
void listeners_sort(struct listeners *listeners);

/*
 * Returns whether a socket listens that may have accepted a connection with this local end: at its
 * address or at all addresses. `family` is 4 or 6, `local` in network byte order, IPv4 in the first
 * four bytes. The listeners must be sorted.
 */
bool listeners_have(const struct listeners *listeners, uint8_t family, const uint8_t local[16],
		    uint16_t port);

#endif
