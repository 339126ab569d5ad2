/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs pinned TCP iterators over the sockets of one network namespace or of all. */
#ifndef HOLDFAST_HOST_ITERATE_H
#define HOLDFAST_HOST_ITERATE_H

#include "host/netns.h"
#include "kernel/data_plane.h"
#include "kernel/iter.h"

/*
 * Runs a pinned TCP iterator (PIN_SWEEP, PIN_MATCHED) over the sockets of one namespace, and
 * calls fn for each record. Returns 0, the first value other than 0 that fn returns, or a
 * negative errno.
 */
int iterate_netns(const struct data_plane *plane, const char *iterator, const struct netns *ns,
		  size_t record_size, iter_fn fn, void *arg, struct error *e);

/*
 * Runs the pinned iterator `all`, which sees the sockets of all namespaces. Where the kernel
 * doesn't have it, runs `here` in each of these namespaces instead (PIN_HELD and PIN_HELD_HERE,
 * PIN_SETTLED and PIN_SETTLED_HERE), and skips namespaces that have gone. Returns as
 * iterate_netns() does.
 */
int iterate_all(const struct data_plane *plane, const char *all, const char *here,
		const struct netns_list *namespaces, size_t record_size, iter_fn fn, void *arg,
		struct error *e);

#endif
