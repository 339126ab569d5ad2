/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set of socket cookies, in a hash table. The kernel hands cookies out one after the other, so
 * sockets that were opened together have neighbouring cookies. Each slot of the table holds 64
 * neighbours, one bit each.
 */
#ifndef HOLDFAST_BASE_COOKIE_SET_H
#define HOLDFAST_BASE_COOKIE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A set of socket cookies; all zero is the empty set. */
struct cookie_set {
	struct cookie_block *blocks; /* owned */
	size_t n, room;		     /* blocks in use; slots, a power of two */
};

/* Adds a cookie. Returns 0 or -ENOMEM. */
int cookie_set_add(struct cookie_set *cookies, uint64_t cookie);
void cookie_set_remove(struct cookie_set *cookies, uint64_t cookie);
bool cookie_set_have(const struct cookie_set *cookies, uint64_t cookie);

/* Frees the table; the set is empty then. */
void cookie_set_free(struct cookie_set *cookies);

#endif
