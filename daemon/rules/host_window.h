/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After how long this host itself forgets a rule's idle connections (netfilter's connection
 * tracking, IPVS): what its connections show goes in, what counts comes out, without clock, kernel
 * or memory.
 */
#ifndef HOLDFAST_RULES_HOST_WINDOW_H
#define HOLDFAST_RULES_HOST_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

enum host_ager {
	HOST_CONNTRACK,
	HOST_IPVS,
};

/* All zero: nothing is known. It is pinned: no pointers, and no holes. */
struct host_window {
	uint64_t window_ms; /* the shortest that was seen; 0: none */
	uint64_t netns;	    /* inode of the network namespace that forgets */
	uint64_t cookie;    /* of the connection that has shown it */
	uint8_t by;	    /* enum host_ager */
	uint8_t harmful;    /* a connection is lost when it is forgotten */
	uint8_t foreign;    /* the namespace isn't the daemon's */
	uint8_t warned;	    /* that the window which the rule says is too long */
	uint8_t missed;	    /* looks since then that have seen none as short */
	uint8_t pad[3];
};

/* What one look has seen of a rule's connections. */
struct host_sight {
	struct host_window shortest; /* with warned and missed 0 */
	bool asked;		     /* at least one connection could be asked about */
	bool denied; /* the connection that has shown what counts shows something longer now */
};

/*
 * Returns the window that an entry shows which will be dropped in remaining_s (rounded down), after
 * idle_ms without a packet. Timeouts are whole seconds, and so is this, in ms.
 */
uint64_t host_window_of(uint32_t remaining_s, uint64_t idle_ms);

/* Adds what one connection shows to what a look has seen. The shortest counts. */
void host_window_see(struct host_sight *sight, const struct host_window *one);

/*
 * Whether the connection that has shown what counts denies it by what it shows now: window_ms (0:
 * nothing), after idle_ms without a packet. One that shows nothing denies nothing if it has idled
 * for long enough to have been forgotten, even by a timeout that was shortened to half a minute.
 */
bool host_window_denies(const struct host_window *now, uint64_t window_ms, uint64_t idle_ms);

/* What one look has seen of an entry. */
struct host_entry {
	int64_t packet_ms; /* CLOCK_MONOTONIC of the connection's last packet */
	int64_t drops_ms;  /* when it will be dropped, rounded down by up to 1 s */
	bool stale;
};

/*
 * Whether packets of the connection don't begin the entry's timeout anew any more, since tracking
 * has ended or they take another way. The time that is left only shrinks then, and shows nothing.
 */
bool host_entry_is_stale(const struct host_entry *before, const struct host_entry *now);

/*
 * Takes a look into account. A shorter window counts at once. A longer one, or none, counts if the
 * connection that has shown what counts denies it, or after HOST_WINDOW_MISSES looks without one
 * as short.
 */
#define HOST_WINDOW_MISSES 10
void host_window_take(struct host_window *now, const struct host_sight *sight);

/* Returns whether host_window_take() can have left it so. What is read from a pin may be damaged.
 */
bool host_window_is_sane(const struct host_window *host);

/*
 * Returns the window that bounds the keepalive time, in ms; 0: none. Root in a container sets the
 * timeouts of the container's namespace. So that this can't make all connections of a rule send
 * probes without end, a window there bounds as if it were HOST_WINDOW_FOREIGN_MS at least.
 */
#define HOST_WINDOW_FOREIGN_MS 45000u
uint64_t host_window_bound(const struct host_window *now);

/* Whether to warn that the window which the rule says is too long; true once. */
bool host_window_warns(struct host_window *now, uint64_t rule_window_ms);

#endif
