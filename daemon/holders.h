/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which processes hold a few sockets, found without a look at every open file: the view
 * iterators remember the sockets that they show us, and the iterator PIN_HOLDERS goes through
 * the processes' tables for those (bpf/holders.bpf.c).
 *
 *   holders_begin()   before the views are read
 *   holders_find()    after it
 *   holders_end()
 */
#ifndef HOLDFAST_HOLDERS_H
#define HOLDFAST_HOLDERS_H

#include "owners.h"

struct holders {
	const struct pins *pins;
	int map;	 /* of what readers want; owned; -1: there is none */
	uint32_t reader; /* this process, as it is known there */
};

/* Where it can't be done, holders_find() will say so. */
void holders_begin(struct holders *holders, const struct pins *pins);

/*
 * The owners of the sockets with these cookies. -ENOTSUP: they can't be found so, because the
 * kernel doesn't allow it, or not all of them were remembered.
 */
int holders_find(const struct holders *holders, const uint64_t *cookies, size_t n,
		 struct owners *owners);

void holders_end(struct holders *holders);

#endif
