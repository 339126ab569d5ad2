/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a connection gets the rule that it gets: the core of `holdfast explain`,
 * without the kernel. The matcher has decided; this says which rules it had to
 * choose from, and what was against the others.
 */
#ifndef HOLDFAST_EXPLAIN_H
#define HOLDFAST_EXPLAIN_H

#include "../bpf/match.h"
#include "rules.h"

#include <stdio.h>

struct json_object;

/* No rule. */
#define EXPLAIN_NONE SIZE_MAX

/* What became of a rule that has the address among its destinations. */
enum explain_fate {
	EXPLAIN_WINS,
	EXPLAIN_SHORTER, /* matches, but its prefix is shorter than the winner's */
	EXPLAIN_BY_NAME, /* matches by a host name; the winner has the address itself */
	EXPLAIN_LATER,	 /* matches by a host name, as does the winner, which comes earlier */
	EXPLAIN_SIDE,	 /* doesn't match: it is about the server's side alone */
	EXPLAIN_PORT,	 /* doesn't match: other ports */
	EXPLAIN_PASSED,	 /* matches, but no rule has won: the rules have changed meanwhile */
};

/* A rule and the destination of it that fits the address best. */
struct explain_rule {
	const struct rule *rule;
	const struct destination *destination;
	struct prefix prefix; /* what of the destination holds the address */
	enum explain_fate fate;
};

struct explanation {
	struct hf_flow flow; /* family, peer and peer_port count */
	const struct config *config;
	struct explain_rule *list; /* winner, those that match, those that don't; owned */
	size_t n;
	size_t n_matching; /* with the winner, if there is one: list[0] */
	bool has_winner;
};

/*
 * ADDRESS[:PORT]: IPv4 or IPv6, the latter in brackets where a port follows;
 * without one it is 3306. IPv4-mapped IPv6 becomes IPv4. 0, or -EINVAL with the
 * sentence.
 */
int explain_parse(const char *text, struct hf_flow *flow, struct error *e);

/*
 * What led to `winner`, the index in config that hf_match() gave for the flow's
 * client side, or EXPLAIN_NONE. The explanation points into config, and is the
 * caller's to explanation_free(). 0, -ENOMEM, or -EINVAL if config has no such
 * rule.
 */
int explain(const struct config *config, const struct hf_flow *flow, size_t winner,
	    struct explanation *explanation, struct error *e);
void explanation_free(struct explanation *explanation);

/* For people. Anything that goes wrong shows in ferror(out). */
void explain_print(const struct explanation *explanation, FILE *out);

/* For programs; the caller puts it away. NULL: out of memory. */
struct json_object *explain_to_json(const struct explanation *explanation);

#endif
