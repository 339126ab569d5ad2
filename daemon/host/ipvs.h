/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks IPVS which connections go to its virtual services, and after how long it forgets an idle TCP
 * connection. Each network namespace has services and a timeout of its own.
 */
#ifndef HOLDFAST_HOST_IPVS_H
#define HOLDFAST_HOST_IPVS_H

#include "base/error.h"
#include "host/conntrack.h"
#include "host/netlink_ask.h"

#include <stdbool.h>
#include <stdio.h>

/* A virtual service for TCP. */
struct ipvs_service {
	uint8_t family;	  /* 4, 6; 0: chosen by a firewall mark, so any connection may go there */
	uint16_t port;	  /* host byte order; 0: any */
	uint8_t addr[16]; /* network byte order; IPv4 in the first four bytes */
};

/*
 * Opens the table of the services of the current network namespace, for the caller to close. NULL:
 * IPVS isn't loaded, and must not be asked.
 */
FILE *ipvs_table(void);

/* Reads a line of the table. Returns whether it says a service for TCP. */
bool ipvs_service_parse(const char *line, struct ipvs_service *service);

/* Whether a connection to that peer goes to the service, as far as is known. */
bool ipvs_serves(const struct ipvs_service *service, const struct conntrack_flow *flow);

/* Asks for the timeout in the current network namespace. Returns seconds or a negative errno. */
int64_t ipvs_timeout(struct error *e);

/* What ipvs_timeout() asks, and how it reads the answers: IPVS's number, and the timeout. */
void ipvs_ask_family(struct netlink_message *question);
int ipvs_take_family(const void *datagram, size_t size, struct error *e);
void ipvs_ask_timeout(uint16_t family, struct netlink_message *question);
int64_t ipvs_take_timeout(const void *datagram, size_t size, struct error *e);

#endif
