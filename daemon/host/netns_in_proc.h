/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the host's network namespaces where nothing is pinned, and so no iterator can be read.
 *
 *   netns_find_in_proc()   those that a task is in or that are mounted
 *   netns_add_strays()     those that only an open TCP socket keeps alive
 */
#ifndef HOLDFAST_HOST_NETNS_IN_PROC_H
#define HOLDFAST_HOST_NETNS_IN_PROC_H

#include "base/u64_set.h"
#include "host/netns.h"
#include "host/owners.h"

/*
 * Finds the namespaces that a task is in, threads included, and those that are mounted somewhere.
 * Leaves out those that vanish meanwhile. Returns 0 and a list for netns_list_free(), or a
 * negative errno and an empty list.
 */
int netns_find_in_proc(struct netns_list *list, struct error *e);

/*
 * Adds the namespaces of sockets that are in none of the list. owners are those of all sockets, as
 * owners_find_by_inode() has them; seen has the inodes of the TCP sockets in the list's namespaces,
 * sorted. Only a TCP socket that is missing there is taken from its process, for a moment: on most
 * hosts none. Leaves out those that may not be taken. Returns 0, or a negative errno and an empty
 * list.
 */
int netns_add_strays(struct netns_list *list, const struct owners *owners,
		     const struct u64_set *seen, struct error *e);

#endif
