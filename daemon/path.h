/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths that have moved: which held sockets a change of routes or addresses
 * concerns. They are probed at once, so that a path which leads nowhere, or
 * through a firewall that doesn't know them, is found now and not in an hour.
 */
#ifndef HOLDFAST_PATH_H
#define HOLDFAST_PATH_H

#include "netns.h"
#include "numbers.h"
#include "plane.h"
#include "rtnl.h"

/* Held sockets, and the namespaces that they are in; all zero: none. */
struct moved {
	uint64_t *cookies; /* owned */
	size_t n;
	struct numbers namespaces; /* inodes; sorted */
};

void moved_free(struct moved *moved);

/*
 * The held sockets whose peer is reached by a changed route, or would have been by
 * one that went (where the kernel now routes the peer by a prefix no longer than the
 * changed one), or whose own address went, or whose last packets came or went by a
 * link that was taken down. A socket remembers both (struct hf_view); where it
 * doesn't, its own keepalive finds out later. Negative errno.
 */
int path_moved(const struct plane *plane, const struct netns_list *namespaces,
	       const struct rtnl_change *changes, size_t n_changes, struct moved *moved,
	       struct error *e);

#endif
