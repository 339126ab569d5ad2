/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the processes that have a few given sockets open. owners_find() looks at every open file
 * of the host, which takes longer than everything else that `holdfast status` does. An owner
 * search is shorter: the view iterators remember the sockets that they show this process, and
 * the iterator PIN_HOLDERS searches the processes' file tables for those sockets alone
 * (bpf/holders.bpf.c).
 *
 *   owner_search_begin()   before the views are read
 *   owner_search_find()    after they have been read
 *   owner_search_end()
 */
#ifndef HOLDFAST_HOST_OWNER_SEARCH_H
#define HOLDFAST_HOST_OWNER_SEARCH_H

#include "host/owners.h"

struct owner_search {
	const struct pins *pins;
	int map;	 /* PIN_WANTED: the sockets that readers look for; owned; -1: none */
	uint32_t reader; /* our PID, by which the map knows this process */
};

/*
 * Registers this process as a reader, so that the view iterators remember the sockets that they
 * show it. Doesn't fail: where the kernel can't do it, owner_search_find() returns -ENOTSUP.
 */
void owner_search_begin(struct owner_search *holders, const struct pins *pins);

/*
 * Finds the owners of the sockets with these cookies. Returns 0 and a list for owners_free(), or
 * -ENOTSUP if the kernel doesn't allow the search or not all of the sockets were remembered.
 */
int owner_search_find(const struct owner_search *holders, const uint64_t *cookies, size_t n,
		      struct owners *owners);

/* Removes this process and its sockets from the map. */
void owner_search_end(struct owner_search *holders);

#endif
