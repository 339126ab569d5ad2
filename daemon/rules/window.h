/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a rule learns of its path's window: evidence in, decision out, without clock, kernel or
 * memory. holdfast.conf(5) says the same in words, under "window = auto".
 */
#ifndef HOLDFAST_RULES_WINDOW_H
#define HOLDFAST_RULES_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/* An episode: connections that are forgotten without a new one taken in between. Two of them count
 * as two if their first losses are this far apart. */
#define WINDOW_EPISODE_MS (10u * 60u * 1000u)

/* So many peers that lost connections are remembered. Where there are more, any peer counts. */
#define WINDOW_PEERS 8

enum window_event_kind {
	WINDOW_SURVIVED,  /* a probe after gap_ms without a packet was answered */
	WINDOW_FORGOTTEN, /* the first probe after such a gap met silence, or a reset */
	WINDOW_CONNECTED, /* the peer has taken a new connection */
	WINDOW_MOVED,	  /* routes have changed: the path may be another one now */
	WINDOW_SLEPT, /* this machine was suspended: gaps across it were longer than they look */
};

struct window_event {
	uint64_t at_ms;	  /* CLOCK_BOOTTIME; survived, forgotten: of the first probe */
	uint64_t gap_ms;  /* survived, forgotten: without a packet, up to the first probe */
	uint8_t peer[16]; /* forgotten, connected: an IPv6 address, or an IPv4-mapped one */
	enum window_event_kind kind;
};

/* All zero: nothing is known. It is pinned: no pointers, and no holes. */
struct window {
	/* For people, over all of the rule's life: the longest survived and the shortest forgotten
	 * gap, 0: none; how many there were. */
	uint64_t survived_ms, forgotten_ms;
	uint64_t survived_count, forgotten_count;

	/* What stands against the path since a gap of the time in force was survived last. */
	uint64_t last_ms;   /* when the last connection was forgotten */
	uint64_t first_ms;  /* when the first one was */
	uint64_t void_ms;   /* gaps that began before this don't count */
	uint32_t forgotten; /* connections, up to UINT32_MAX */
	uint32_t n_peers;   /* those that lost them; WINDOW_PEERS + 1: more than are remembered */
	uint8_t peers[WINDOW_PEERS][16];
	uint8_t taken; /* one of them has taken a new connection since the last was forgotten */
	uint8_t again; /* there was an episode that counts beside the first one */

	uint8_t survives; /* a gap of the time in force has been survived */
	uint8_t warned;	  /* that the window which the rule says is too long */
	uint16_t time_s;  /* keepalive time that was learned; 0: none, the rule's counts */
	uint8_t pad[2];
};

enum window_verdict {
	WINDOW_NOTHING,
	WINDOW_SHORTEN,	 /* window->time_s is new: it has to be put in force */
	WINDOW_TOO_LONG, /* the path forgets sooner than the rule says */
};

/*
 * Takes one event into account. time_s: the keepalive time in force. window_ms: the window that
 * the rule says, or 0 with `auto`. Each verdict but WINDOW_NOTHING is given once for its evidence.
 */
enum window_verdict window_learn(struct window *window, const struct window_event *event,
				 uint16_t time_s, uint64_t window_ms);

/*
 * The keepalive time in force: the rule's, or a shorter one that was learned; at most a third of
 * what this host itself forgets after (0: not known), and at least 1 s.
 */
uint16_t window_time(const struct window *window, uint16_t rule_time_s, uint64_t host_ms);

/*
 * Returns whether window_learn() can have left it so by now_ms (CLOCK_BOOTTIME). What is read from
 * a pin may be damaged.
 */
bool window_is_sane(const struct window *window, uint64_t now_ms);

/* The next shorter keepalive time of 120, 60, 30 and 15 s, or 0. */
uint16_t window_next_step(uint16_t time_s);

#endif
