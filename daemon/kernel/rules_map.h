/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts rules in force and reads them: the trie for the programs, and the configuration's text. */
#ifndef HOLDFAST_KERNEL_RULES_MAP_H
#define HOLDFAST_KERNEL_RULES_MAP_H

#include "kernel/data_plane.h"
#include "rules/rules.h"

/*
 * Puts these rules in force in one step: a connection sees the old rules or the new ones, never a
 * mix or none. Also sets the generation in PIN_INFO, and pins the configuration's text for status
 * and explain. Returns 0 or negative errno; on failure the old rules stay in force.
 */
int rules_map_put(struct data_plane *plane, const struct config *config, uint32_t generation,
		  struct error *e);

/*
 * Opens the trie in force. Returns a descriptor, the caller's to close; -ENOENT if no rules are in
 * force; or another negative errno.
 */
int rules_map_trie(const struct data_plane *plane, struct error *e);

/*
 * Takes the rules out of force: from then on new connections are left alone, and a sweep restores
 * held sockets. Returns 0 or negative errno.
 */
int rules_map_drop(const struct data_plane *plane, struct error *e);

/*
 * Reads the configuration whose text is pinned, and its generation. With `staged` it reads the
 * text of a reload that isn't finished: if a rule of the trie has another generation than the
 * configuration, a reload is under way or the daemon died during one, and the other text belongs
 * to the trie. The caller frees config. Returns 0 or negative errno.
 */
int rules_map_config(const struct data_plane *plane, bool staged, struct config *config,
		     uint32_t *generation, struct error *e);

/*
 * Copies the rule that the trie in force has for a flow, and sets *side as hf_match() does. Returns
 * false if there is none.
 */
bool rules_map_match(const struct data_plane *plane, const struct hf_flow *flow,
		     struct hf_rule *rule, enum hf_side *side);

#endif
