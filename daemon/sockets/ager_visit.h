/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asks in one network namespace about connections; agers.c says which. */
#ifndef HOLDFAST_SOCKETS_AGER_VISIT_H
#define HOLDFAST_SOCKETS_AGER_VISIT_H

#include "host/conntrack.h"
#include "host/netns.h"
#include "rules/host_window.h"

#include <stdbool.h>

/*
 * A connection without a packet for so long has no data or acknowledgement under way, for which
 * connection tracking has other timeouts.
 */
#define AGER_IDLE_LEAST_MS 1000u

/* What a look has seen of an entry of connection tracking. */
struct ager_entry {
	uint64_t key; /* of the connection and the network namespace */
	struct host_entry seen;
};

struct ager_entries {
	struct ager_entry *list; /* owned */
	size_t n, room;
};

/* A connection to ask about. */
struct ager_flow {
	uint64_t netns;
	uint64_t cookie;
	uint32_t rule;		     /* its index */
	uint8_t family;		     /* the socket's: 6 for IPv4-mapped IPv6 */
	uint8_t local[16], peer[16]; /* the socket's */
	struct conntrack_flow flow;
	struct host_window shown; /* what counts, if this connection has shown it */
	int64_t at_ms;		  /* monotonic_ms() when it idled for idle_ms */
	uint64_t idle_ms;
	uint64_t window_ms; /* the shortest that it shows now; 0: none */
	bool settled;	    /* it idles, so that it can be asked about */
	bool failed;	    /* something couldn't be asked */
	bool served;	    /* it goes to a virtual service of IPVS */
};

/* Asking in one namespace about list[0] to list[n-1]. */
struct ager_visit {
	int8_t *built_in;		   /* as in struct agers */
	const struct ager_entries *before; /* what the last look has seen, sorted by key */
	struct ager_entries *entries;	   /* what is seen now, for the next look */
	struct host_sight *sights;
	const struct netns *ns;
	struct ager_flow *list;
	size_t n;
	bool own;	/* it is theirs: find out how long they idle */
	bool foreign;	/* it isn't the daemon's */
	uint64_t asked; /* inode: connections of this namespace have been asked about here */
	int err;	/* the first failure, with its sentence in e */
	struct error *e;
};

/*
 * Asks in the current network namespace, which is that of the visit in arg; for netns_call().
 * Returns 0 or a negative errno, with its sentence in visit->e.
 */
int ager_visit(void *arg);

#endif
