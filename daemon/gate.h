/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ports that rules name, as programs ask before they look into the trie. */
#ifndef HOLDFAST_GATE_H
#define HOLDFAST_GATE_H

#include "plane.h"

/* Adds the ports of compiled rules. */
void gate_add(struct hf_gate *gate, const struct rule_entry *entries, size_t n);

/*
 * Putting new rules in force takes two steps, one before and one after the trie is
 * swapped: at no moment may a port be missing that the trie in force has.
 * gate_widen() adds the new rules' ports, gate_set() leaves none but those.
 */
int gate_widen(const struct plane *plane, const struct hf_gate *gate, struct error *e);
int gate_set(const struct plane *plane, const struct hf_gate *gate, struct error *e);

#endif
