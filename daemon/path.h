/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths that have moved: which held sockets a change of routes or addresses
 * concerns. They are probed at once, so that a path which leads nowhere, or
 * through a firewall that doesn't know them, is found now and not in an hour.
 */
#ifndef HOLDFAST_PATH_H
#define HOLDFAST_PATH_H

#include "plane.h"
#include "rtnl.h"

/*
 * The cookies of held sockets whose peer is reached by a changed route, or would
 * have been by one that went (where the kernel now routes the peer by a prefix
 * no longer than the changed one), or whose own address went. The caller frees
 * the list; NULL where there are none. Negative errno.
 */
int path_moved(const struct plane *plane, const struct netns_list *namespaces,
	       const struct rtnl_change *changes, size_t n_changes, uint64_t **cookies, size_t *n,
	       struct error *e);

#endif
