/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guesses from the connections that servers close whether an idle timeout is behind it. Such a
 * timeout closes connections after the same quiet time, but at different moments. A server that
 * goes away closes them at about the same moment, however long each was quiet.
 */
#ifndef HOLDFAST_SOCKETS_IDLE_TIMEOUTS_H
#define HOLDFAST_SOCKETS_IDLE_TIMEOUTS_H

#include "bpf/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* This many closes after the same quiet time are taken for a timeout. */
#define IDLE_TIMEOUT_CLOSES 3

/* Quiet times below this are never taken for a timeout: servers have none so short. */
#define IDLE_TIMEOUT_LEAST_MS 1000

/* How far apart two quiet times may be to count as the same. */
#define IDLE_TIMEOUT_APART_MS 2000

/*
 * Closes less than this apart count as one. A server that goes away may take a while, and close
 * connections one after the other that were last used together; their quiet times are as far apart
 * as the closes, and so three that count are never the same.
 */
#define IDLE_TIMEOUT_MOMENT_MS 1500
_Static_assert((IDLE_TIMEOUT_CLOSES - 1) * IDLE_TIMEOUT_MOMENT_MS > IDLE_TIMEOUT_APART_MS,
	       "closes one after the other don't count as the same quiet time");

/* How many quiet times are remembered of one peer under one rule, and how many of all. A new one
 * replaces the one that came last the longest ago. */
#define IDLE_TIMEOUTS_OF_PEER 4
#define IDLE_TIMEOUTS_MOST    1024

/* A quiet time after which a peer has closed connections. */
struct idle_timeout {
	uint64_t rule_key;
	uint64_t at_ms; /* CLOCK_BOOTTIME of the latest close that counted */
	uint8_t peer[16];
	uint16_t peer_port;
	uint8_t family;
	uint8_t closes;	   /* how many have counted */
	uint32_t quiet_ms; /* of the first of them */
};

/* All zero at first. */
struct idle_timeouts {
	struct idle_timeout *list; /* owned */
	size_t n, room;
};

/*
 * Takes a close by the server. Returns true if it is the one that makes a timeout likely: once for
 * each quiet time. False also if memory runs out.
 */
bool idle_timeouts_suggest(struct idle_timeouts *timeouts, const struct hf_ended *ended);

void idle_timeouts_free(struct idle_timeouts *timeouts);

#endif
