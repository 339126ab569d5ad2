/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Works on the sockets that exist in one network namespace: by the pinned TCP iterators where the
 * kernel allows it, from user space on older kernels (sockets/old/). Callers get the same records
 * either way.
 */
#ifndef HOLDFAST_SOCKETS_EXISTING_H
#define HOLDFAST_SOCKETS_EXISTING_H

#include "kernel/iter.h"
#include "sockets/old/round.h"

/* The state of one round over network namespaces. */
struct existing {
	const struct data_plane *plane;
	struct old_round round; /* used where user space does the work */
};

#define EXISTING_INIT(p)                                                                           \
	{                                                                                          \
		.plane = (p), .round = OLD_ROUND_INIT(p)                                           \
	}

/* Tells whether the pinned iterators do the work, and not user space. */
bool existing_by_kernel(const struct data_plane *plane);

void existing_free(struct existing *existing);

/*
 * Sweeps the namespace: holds every socket that a rule in force matches, and gives back every
 * held one that no rule matches any more. Calls fn with a struct hf_sweep for each socket that it
 * changes. Returns 0, the first value other than 0 that fn returns, or a negative errno.
 */
int existing_sweep(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		   struct error *e);

/*
 * Probes the held sockets of the namespace whose cookies are in the map PIN_TARGETS. A sweep must
 * follow, which puts their keepalive time back. Calls fn with a struct hf_sweep for each socket
 * on which the kernel refuses to set the time. Returns as existing_sweep() does.
 */
int existing_probe(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		   struct error *e);

/*
 * Empties the map PIN_LISTENERS. An iterator notes there which addresses and ports are listened
 * on, and uses its notes only until it has come to its end.
 */
void existing_forget_listeners(const struct data_plane *plane);

/*
 * Calls fn with a struct hf_view for each socket of the namespace that a rule matches, held or
 * not. Returns as existing_sweep() does.
 */
int existing_matched(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		     struct error *e);

#endif
