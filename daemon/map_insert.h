/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Putting an entry into a map whose entries the kernel makes as they come. */
#ifndef HOLDFAST_MAP_INSERT_H
#define HOLDFAST_MAP_INSERT_H

#include <stdint.h>

/*
 * As bpf_map_update_elem(). From 6.1 on the kernel has the memory for such entries set aside
 * in the background, and refuses (ENOMEM) while that hasn't caught up: so it goes with hundreds
 * of rules on a machine with one CPU. This waits for it, a second at most. Negative errno.
 */
int map_insert(int map, const void *key, const void *value, uint64_t flags);

#endif
