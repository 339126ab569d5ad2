/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Explains why a connection gets its rule: the core of `holdfast explain`, without the kernel. The
 * matcher has decided already. The explanation says which rules it had to choose from, and why it
 * didn't choose the others.
 */
#ifndef HOLDFAST_RULES_EXPLAIN_H
#define HOLDFAST_RULES_EXPLAIN_H

#include "bpf/match.h"
#include "rules/host_window.h"
#include "rules/rules.h"

#include <stdio.h>

struct json_object;

/* The index of the winner where no rule matches. */
#define EXPLAIN_NONE SIZE_MAX

/* Why a rule that has the address among its destinations wins or loses. */
enum explain_fate {
	EXPLAIN_WINS,
	EXPLAIN_SHORTER, /* matches, but its prefix is shorter than the winner's */
	EXPLAIN_BY_NAME, /* matches by a host name; the winner has the address itself */
	EXPLAIN_LATER,	 /* matches by a host name, as does the winner, which comes earlier */
	EXPLAIN_SIDE,	 /* doesn't match: it has side = server */
	EXPLAIN_PORT,	 /* doesn't match: it has other ports */
	EXPLAIN_PASSED,	 /* matches, but no rule has won: the rules have changed meanwhile */
};

/* A rule, and the one of its destinations that fits the address best. */
struct explain_rule {
	const struct rule *rule;
	const struct destination *destination;
	struct prefix prefix; /* of the destination: has the address */
	enum explain_fate fate;
};

struct explanation {
	struct hf_flow flow; /* only family, peer and peer_port are used */
	const struct config *config;
	struct explain_rule *list; /* the winner, others that match, those that don't; owned */
	size_t n;
	size_t n_matching; /* counts the winner, too */
	bool has_winner;   /* the winner is list[0] */
	struct host_window
		host; /* what this host forgets of the winner; explain() leaves it zero */
};

/*
 * Parses ADDRESS[:PORT]. The address is IPv4 or IPv6, the latter in brackets where a port follows;
 * IPv4-mapped IPv6 becomes IPv4. The default port is 3306. Returns 0, or -EINVAL and says in e what
 * is wrong.
 */
int explain_parse(const char *text, struct hf_flow *flow, struct error *e);

/*
 * Explains why the rule `winner` matches the flow. winner is the index in config that hf_match()
 * found for the flow's client side, or EXPLAIN_NONE. The explanation points into config; the caller
 * frees it with explanation_free(). Returns 0, -ENOMEM, or -EINVAL if config has no such rule or
 * its destinations don't have the address.
 */
int explain(const struct config *config, const struct hf_flow *flow, size_t winner,
	    struct explanation *explanation, struct error *e);
void explanation_free(struct explanation *explanation);

/* Prints an explanation for people. Errors show in ferror(out). */
void explain_print(const struct explanation *explanation, FILE *out);

/* Returns an explanation as JSON, which the caller owns. NULL: out of memory. */
struct json_object *explain_to_json(const struct explanation *explanation);

#endif
