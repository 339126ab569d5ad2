/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set of socket cookies. The kernel hands cookies out one after the other, so
 * that sockets which were opened together have neighbouring ones: a place of the
 * table holds 64 of them, one bit each.
 */
#ifndef HOLDFAST_COOKIES_H
#define HOLDFAST_COOKIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: empty. */
struct cookies {
	struct cookie_block *blocks; /* owned */
	size_t n, room;		     /* blocks in use; places, a power of two */
};

/* 0 or -ENOMEM. */
int cookies_add(struct cookies *cookies, uint64_t cookie);
void cookies_remove(struct cookies *cookies, uint64_t cookie);
bool cookies_have(const struct cookies *cookies, uint64_t cookie);

/* Empty again. */
void cookies_free(struct cookies *cookies);

#endif
