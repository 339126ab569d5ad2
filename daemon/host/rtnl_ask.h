/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks rtnetlink questions. Each function opens a socket of its own. */
#ifndef HOLDFAST_HOST_RTNL_ASK_H
#define HOLDFAST_HOST_RTNL_ASK_H

#include <stdint.h>

/*
 * Finds the id that our namespace has for the namespace of ns_fd; *nsid is RTNL_OWN_NAMESPACE if
 * it has none. Returns 0 or a negative errno.
 */
int rtnl_nsid(int ns_fd, int *nsid);

/*
 * Gives the namespace of ns_fd such an id, without which no events come from it. Returns 0 or a
 * negative errno.
 */
int rtnl_give_nsid(int ns_fd);

/* A route that the kernel has chosen. */
struct rtnl_route {
	uint32_t table;
	int length; /* of its prefix */
};

/*
 * Asks which route the current namespace has to an address, for packets from `source`, or if that
 * is no address of the namespace, for packets from any. Returns 0 or a negative errno, -ENETUNREACH
 * if there is none.
 */
int rtnl_matched_route(uint8_t family, const uint8_t address[16], const uint8_t source[16],
		       struct rtnl_route *route);

/*
 * Returns a number for the way that the current namespace sends such packets: for their link, next
 * hop and source address. Two ways that differ have different numbers. There is a number for none.
 */
uint64_t rtnl_way(uint8_t family, const uint8_t address[16], const uint8_t source[16]);

#endif
