/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A TCP connection of another process, which this process has a descriptor of: whatever the network
 * namespace, it is looked at and probed by way of that.
 */
#ifndef HOLDFAST_MEASURE_CONNECTION_H
#define HOLDFAST_MEASURE_CONNECTION_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum connection_state {
	CONNECTION_OPEN,
	CONNECTION_LEFT,   /* the command has closed it */
	CONNECTION_CLOSED, /* the peer has, with a FIN */
	CONNECTION_RESET,
};

struct connection_look {
	enum connection_state state;
	bool keepalive;	       /* it is on */
	uint32_t packets;      /* that went either way */
	uint32_t packets_in;   /* that came */
	uint64_t idle_ms;      /* since a packet of those that the kernel keeps the time of */
	uint64_t data_idle_ms; /* since there was data, either way */
};

/* Whether it is a TCP connection to there that is established; its cookie. */
bool connection_is_to(int fd, uint8_t family, const uint8_t peer[16], uint16_t port,
		      uint64_t *cookie);

/* As the kernel has it now. Negative errno. */
int connection_look(int fd, struct connection_look *look);

/* Keepalive off, so that nothing is sent. */
int connection_silence(int fd, struct error *e);

/*
 * A keepalive probe at once, where it has idled for a second; then one each second, until
 * connection_silence(). The kernel's own timers, up to an eighth late, have no part in the first.
 */
int connection_probe(int fd, struct error *e);

#endif
