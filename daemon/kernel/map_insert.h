/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts entries into maps that aren't preallocated (BPF_F_NO_PREALLOC). */
#ifndef HOLDFAST_KERNEL_MAP_INSERT_H
#define HOLDFAST_KERNEL_MAP_INSERT_H

#include <stdint.h>

/*
 * Does what bpf_map_update_elem() does, and waits up to three seconds for memory. From 6.1 on the
 * kernel sets memory for such entries aside in the background, and fails with ENOMEM until that
 * has caught up, as happens with hundreds of rules on a machine with one CPU. Returns 0 or
 * negative errno.
 */
int map_insert(int map, const void *key, const void *value, uint64_t flags);

#endif
