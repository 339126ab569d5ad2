/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes bytes to 64 bits (FNV-1a). It isn't meant to withstand somebody who chooses the bytes. */
#ifndef HOLDFAST_BASE_HASH_H
#define HOLDFAST_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* The hash of no bytes. */
#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static inline void hash_add(uint64_t *hash, const void *data, size_t size)
{
	const uint8_t *bytes = data;
	size_t i;

	for (i = 0; i < size; i++)
		*hash = (*hash ^ bytes[i]) * UINT64_C(0x100000001b3);
}

#endif
