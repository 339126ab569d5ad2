/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the bitmap of the ports that rules name, which programs ask before they search the trie. */
#ifndef HOLDFAST_KERNEL_PORT_BITMAP_H
#define HOLDFAST_KERNEL_PORT_BITMAP_H

#include "bpf/types.h"
#include "kernel/pins.h"
#include "rules/rules.h"

/* Adds the ports of compiled rules to a bitmap. */
void port_bitmap_add(struct hf_port_bitmap *gate, const struct rule_entry *entries, size_t n);

/*
 * Change the bitmap in force, before and after the trie is swapped, so that at no moment it lacks
 * a port of the trie in force. port_bitmap_widen() comes before the swap and adds the new rules'
 * ports; port_bitmap_set() comes after it and removes all others. Both return 0 or negative errno.
 */
int port_bitmap_widen(const struct pins *pins, const struct hf_port_bitmap *gate, struct error *e);
int port_bitmap_set(const struct pins *pins, const struct hf_port_bitmap *gate, struct error *e);

#endif
