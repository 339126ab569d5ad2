// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The prefixes are sorted by bits and then by length, so that each one comes after those that
 * contain it. The longest match of a key is therefore its predecessor in this order, or one of the
 * prefixes that contain the predecessor.
 */
#include "bpf/types.h"

struct lpm;
const union hf_value *lpm_lookup(const struct lpm *lpm, const struct hf_key *key);
#define HF_LOOKUP(trie, key) lpm_lookup((trie), (key))

#include "base/util.h"
#include "rules/lpm.h"

#include <string.h>

#define KEY_BYTES (HF_KEY_BITS / 8)
#define NONE	  SIZE_MAX

struct node {
	uint32_t prefixlen;
	uint8_t bits[KEY_BYTES]; /* struct hf_key without prefixlen; bits beyond the prefix are 0 */
	union hf_value value;
	size_t parent; /* the longest of the shorter prefixes that contain it, or NONE */
};

struct lpm {
	size_t n;
	struct node nodes[];
};

_Static_assert(sizeof(struct hf_key) == sizeof(uint32_t) + KEY_BYTES, "a key is length and bits");

static void node_set_key(struct node *node, const struct hf_key *key)
{
	uint32_t bytes;

	node->prefixlen = key->prefixlen < HF_KEY_BITS ? key->prefixlen : HF_KEY_BITS;
	memcpy(node->bits, (const char *)key + sizeof(key->prefixlen), KEY_BYTES);
	bytes = node->prefixlen / 8;
	if (bytes < KEY_BYTES) {
		node->bits[bytes] &= (uint8_t)(0xff00 >> node->prefixlen % 8);
		memset(node->bits + bytes + 1, 0, KEY_BYTES - bytes - 1);
	}
}

static int compare_nodes(const void *left, const void *right)
{
	const struct node *a = left, *b = right;
	int order = memcmp(a->bits, b->bits, KEY_BYTES);

	return order ? order : (a->prefixlen > b->prefixlen) - (a->prefixlen < b->prefixlen);
}

static bool holds(const struct node *node, const struct node *inner)
{
	uint32_t bytes = node->prefixlen / 8, bits = node->prefixlen % 8;

	if (node->prefixlen > inner->prefixlen || memcmp(node->bits, inner->bits, bytes) != 0)
		return false;
	return !bits || ((node->bits[bytes] ^ inner->bits[bytes]) & (0xff00 >> bits) & 0xff) == 0;
}

struct lpm *lpm_new(const struct rule_entry *entries, size_t n)
{
	struct lpm *lpm;
	size_t i, above;

	lpm = calloc(1, sizeof(*lpm) + n * sizeof(lpm->nodes[0]));
	if (!lpm)
		return NULL;
	lpm->n = n;
	for (i = 0; i < n; i++) {
		node_set_key(&lpm->nodes[i], &entries[i].key);
		lpm->nodes[i].value = entries[i].value;
	}
	qsort(lpm->nodes, n, sizeof(lpm->nodes[0]), compare_nodes);
	for (i = 0; i < n; i++) {
		above = i ? i - 1 : NONE;
		while (above != NONE && !holds(&lpm->nodes[above], &lpm->nodes[i]))
			above = lpm->nodes[above].parent;
		lpm->nodes[i].parent = above;
	}
	return lpm;
}

void lpm_free(struct lpm *lpm)
{
	free(lpm);
}

const union hf_value *lpm_lookup(const struct lpm *lpm, const struct hf_key *key)
{
	size_t low = 0, high = lpm->n, middle;
	struct node wanted;

	node_set_key(&wanted, key);
	while (low < high) {
		middle = low + (high - low) / 2;
		if (compare_nodes(&lpm->nodes[middle], &wanted) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	low = low ? low - 1 : NONE;
	while (low != NONE && !holds(&lpm->nodes[low], &wanted))
		low = lpm->nodes[low].parent;
	return low == NONE ? NULL : &lpm->nodes[low].value;
}

const struct hf_rule *lpm_match(const struct lpm *lpm, const struct hf_flow *flow,
				enum hf_side *side)
{
	return hf_match((void *)lpm, flow, side);
}
