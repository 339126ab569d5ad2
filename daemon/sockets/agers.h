/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds out from some held connections after how long this host itself forgets them: in the network
 * namespace of the connection, and in the daemon's, which is the host's and masquerades containers.
 */
#ifndef HOLDFAST_SOCKETS_AGERS_H
#define HOLDFAST_SOCKETS_AGERS_H

#include "base/error.h"
#include "bpf/types.h"
#include "host/netns.h"
#include "rules/host_window.h"
#include "sockets/ager_visit.h"

#include <stddef.h>
#include <stdint.h>

/* So many connections of each rule and namespace are asked about at most. */
#define AGERS_EACH 4

/* Connections to ask about; all zero is none. */
struct agers {
	struct ager_flow *list; /* owned */
	size_t n, room;
	struct ager_entries before; /* what the last look has seen, sorted by key */
	int8_t built_in; /* the netlink side of connection tracking is: 1 yes, -1 no, 0 not known */
};

/*
 * Adds a held connection if it idles and there aren't thousands already. now: what counts of its
 * rule; NULL: nothing. Returns 0 or -ENOMEM.
 */
int agers_add(struct agers *agers, const struct hf_view *view, const struct host_window *now);

/*
 * Asks about the connections, and adds what they show to the sights, which are by index of the
 * rule. Loads no module, and asks nothing where nothing is tracked. Returns how many connections
 * were asked about, or a negative errno if something was left out.
 */
int agers_ask(struct agers *agers, const struct netns_list *namespaces, struct host_sight *sights,
	      struct error *e);

/* Removes and frees the connections; agers_free() also frees what is remembered of them. */
void agers_clear(struct agers *agers);
void agers_free(struct agers *agers);

#endif
