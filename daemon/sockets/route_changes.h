/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the held sockets whose path a change of routes, addresses or links may have moved. The
 * daemon has them probed at once, to find a path that leads nowhere, or through a firewall that
 * doesn't know them, now and not in an hour.
 */
#ifndef HOLDFAST_SOCKETS_ROUTE_CHANGES_H
#define HOLDFAST_SOCKETS_ROUTE_CHANGES_H

#include "base/u64_set.h"
#include "host/netns.h"
#include "host/rtnl.h"
#include "kernel/data_plane.h"
#include "sockets/known_ways.h"

/* Held sockets, and the namespaces that they are in; all zero: none. */
struct moved_sockets {
	uint64_t *cookies; /* owned */
	size_t n;
	size_t guessed; /* how many of them are here only because their way before isn't known */
	struct u64_set namespaces; /* inodes; sorted */
	struct u64_set rules;	   /* indices in the configuration; sorted */
};

void moved_sockets_free(struct moved_sockets *moved);

/* Adds the sockets of one set to another. Returns 0, or -ENOMEM without having added sockets. */
int moved_sockets_add(struct moved_sockets *to, const struct moved_sockets *moved);

/* What rtnetlink said. */
struct rtnl_changes {
	const struct rtnl_change *list;
	size_t n;
	bool lost; /* there were others */
};

/* Sees to it that changes in a namespace other than ours are heard of. */
void route_changes_hear(const struct netns *ns);

/*
 * Finds the held sockets that one of the changes concerns: those
 *
 *   - whose peer is in the prefix of a changed route, if the kernel now routes the peer by a
 *     prefix of that table that is no longer than that one, or not at all; or by another table, if
 *     the changed route went,
 *   - whose local address went,
 *   - whose last packets came or went by a link that was taken down. The links are those that the
 *     socket remembers (struct hf_view); where it doesn't, its own keepalive finds out later that
 *     the path has moved, or
 *   - whose packets take another way than `known` has, or one that isn't known, if nobody says what
 *     has changed: after RTNL_ANY, in that namespace, and if changes were lost, in all of them.
 *
 * Remembers in `known` the ways that it has asked for. Returns 0 and sockets for
 * moved_sockets_free(), or a negative errno.
 */
int route_changes_find(const struct data_plane *plane, const struct netns_list *namespaces,
		       const struct rtnl_changes *changes, struct known_ways *known,
		       struct moved_sockets *moved, struct error *e);

#endif
