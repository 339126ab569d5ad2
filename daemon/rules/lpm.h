/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A native stand-in for the kernel's trie: longest prefix match over the same entries. `explain
 * --config`, the reconcile pass and the unit tests use it, as they have no kernel map to look
 * rules up in.
 */
#ifndef HOLDFAST_RULES_LPM_H
#define HOLDFAST_RULES_LPM_H

#include "bpf/match.h"
#include "rules/rules.h"

struct lpm; /* opaque */

/* Returns a table with copies of the entries; lpm_free() frees it. NULL: out of memory. */
struct lpm *lpm_new(const struct rule_entry *entries, size_t n);
void lpm_free(struct lpm *lpm);

/* Returns the value of the longest prefix of *key, owned by lpm, or NULL. */
const union hf_value *lpm_lookup(const struct lpm *lpm, const struct hf_key *key);

/* Runs hf_match() of bpf/match.h on the table. Returns the rule, owned by lpm, or NULL. */
const struct hf_rule *lpm_match(const struct lpm *lpm, const struct hf_flow *flow,
				enum hf_side *side);

#endif
