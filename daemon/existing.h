/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets that are there already, a network namespace at a time: by the pinned
 * TCP iterators where the kernel has them, else from user space (adopt.h). The
 * records that the callers get are the same.
 */
#ifndef HOLDFAST_EXISTING_H
#define HOLDFAST_EXISTING_H

#include "adopter.h"

/* For the length of one round over namespaces. */
struct existing {
	const struct plane *plane;
	struct adopter adopter; /* where user space does it */
};

#define EXISTING_INIT(p)                                                                           \
	{                                                                                          \
		.plane = (p), .adopter = ADOPTER_INIT(p)                                           \
	}

/* Whether the pinned iterators do it, and user space has only to open them. */
bool existing_by_kernel(const struct plane *plane);

void existing_free(struct existing *existing);

/*
 * Makes every socket of the namespace what the rules in force say: held where
 * one matches, given back where none does any more. fn gets a struct hf_sweep
 * for each that was changed. What fn returned if that isn't 0, or negative errno.
 */
int existing_sweep(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		   struct error *e);

/*
 * Probes the held sockets of the namespace whose cookies are in the map
 * PIN_TARGETS; a sweep afterwards puts their keepalive time back.
 */
int existing_probe(struct existing *existing, const struct netns *ns, struct error *e);

/* What the iterators have noted of listeners counts for them alone, while they run. */
void existing_forget_listeners(const struct plane *plane);

/* fn gets a struct hf_view for each socket of the namespace that a rule matches, held or not. */
int existing_matched(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		     struct error *e);

#endif
