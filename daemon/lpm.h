/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trie's native stand-in: longest-prefix match over the same entries, for
 * `explain --config`, the reconcile pass and the unit tests, which have no
 * kernel map to ask.
 */
#ifndef HOLDFAST_LPM_H
#define HOLDFAST_LPM_H

#include "../bpf/match.h"
#include "rules.h"

struct lpm; /* opaque */

/* Takes a copy of the entries. NULL: out of memory. */
struct lpm *lpm_new(const struct rule_entry *entries, size_t n);
void lpm_free(struct lpm *lpm);

/* The value of the longest prefix of *key, owned by lpm, or NULL. */
const union hf_value *lpm_lookup(const struct lpm *lpm, const struct hf_key *key);

/* hf_match() of bpf/match.h over it: the rule, owned by lpm, or NULL. */
const struct hf_rule *lpm_match(const struct lpm *lpm, const struct hf_flow *flow,
				enum hf_side *side);

#endif
