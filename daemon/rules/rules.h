/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rules/ defines what a rule is, and finds which one matches a connection, and why.
 * It calls base/, and bpf/ for the matcher and the layout of the trie.
 */

/*
 * Defines rules: the configuration with all defaults filled in. Compiles them to the keys and
 * values of the kernel's trie.
 */
#ifndef HOLDFAST_RULES_RULES_H
#define HOLDFAST_RULES_RULES_H

#include "base/error.h"
#include "bpf/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULE_NAME_MAX 32

/* Built-in defaults, as holdfast.conf(5) documents them. */
#define RULE_DEFAULT_PORT   3306
#define RULE_AUTO_TIME_S    200u /* below the shortest of the common windows, Azure's 240 s */
#define RULE_DEFAULT_PROBES 5
#define RECONCILE_DEFAULT_S 60u
#define RULE_TIME_MAX_S	    32767u /* MAX_TCP_KEEPIDLE, include/net/tcp.h */
#define RULE_PROBES_MAX	    127u   /* MAX_TCP_KEEPCNT */

/* An address prefix whose host bits are 0. IPv4 has family 4, also if written as ::ffff:0:0/96. */
struct prefix {
	uint8_t family;	  /* 4 or 6 */
	uint8_t len;	  /* in bits: 0 to 32 for IPv4, 0 to 128 for IPv6 */
	uint8_t addr[16]; /* network byte order; IPv4 in the first four bytes, the rest 0 */
};

enum destination_kind {
	DESTINATION_ANY,
	DESTINATION_PREFIX,
	DESTINATION_NAME,
};

struct destination {
	enum destination_kind kind;
	struct prefix prefix;	 /* DESTINATION_PREFIX */
	char *name;		 /* DESTINATION_NAME: host name, owned */
	struct prefix *resolved; /* DESTINATION_NAME: addresses known by now; owned; may be NULL */
	size_t n_resolved;
};

struct port_range {
	uint16_t first, last; /* both inclusive; first <= last, never 0 */
};

enum rule_side {
	RULE_SIDE_CLIENT,
	RULE_SIDE_SERVER,
	RULE_SIDE_BOTH,
};

struct rule {
	char name[RULE_NAME_MAX + 1];
	struct destination *destinations; /* as written and in that order; owned */
	size_t n_destinations;
	struct port_range *ports; /* sorted, merged where they touch or overlap; owned */
	size_t n_ports;
	enum rule_side side;
	uint64_t window_ms; /* 0: auto, it is not known */
	uint16_t time_s;
	uint16_t interval_s;
	uint8_t probes;
	uint32_t user_timeout_ms; /* 0: off */
	enum hf_override override;
	bool enforce;
};

/* A configuration with all defaults filled in. */
struct config {
	bool guard;	      /* [daemon] guard */
	uint32_t reconcile_s; /* [daemon] reconcile */
	char *textfile;	      /* [daemon] metrics-textfile, a path; owned; NULL: off */
	struct rule *rules;   /* in the order of the configuration; owned */
	size_t n_rules;
};

/* An entry of the trie: a key and its value. */
struct rule_entry {
	struct hf_key key;
	union hf_value value;
};

/* Frees what the rule owns, and clears the struct. */
void rule_free(struct rule *rule);

/* Frees what the configuration owns, and clears the struct. */
void config_free(struct config *config);

/* Sets config to the built-in default: one rule with destination `any`, port 3306 and window auto.
 * Returns 0 or -ENOMEM. */
int config_builtin(struct config *config, struct error *e);

/* Return the default of `time` for a window (0: auto), and that of `interval` for a time. */
uint16_t rule_default_time(uint64_t window_ms);
uint16_t rule_default_interval(uint16_t time_s);

/* Returns the rule of that name, owned by config, or NULL. */
const struct rule *config_find_rule(const struct config *config, const char *name);

/* A host name among the destinations of a configuration, which owns both. */
struct host_name {
	const struct rule *rule;
	const struct destination *destination;
};

/*
 * Goes on to the next host name without an address by now, so that no connection matches it; to
 * the first one where name is zeroed. Returns false after the last one.
 */
bool config_next_unresolved(const struct config *config, struct host_name *name);

/* Returns the value of hf_rule.key: a hash of the rule's name (FNV-1a). Counters are kept under
 * this key, so that they outlive reloads. */
uint64_t rule_key(const char *name);

/*
 * Compiles all rules to trie entries; the caller frees the array. A host name counts as the
 * addresses resolved by now. Where one rule has such an address and another has the same address
 * as a literal, the literal wins; where two rules have it by name, the earlier rule wins. Returns
 * 0, -ENOMEM, or -E2BIG if there are more entries than a map of sensible size holds.
 */
int rules_compile(const struct config *config, uint32_t generation, struct rule_entry **entries,
		  size_t *n_entries, struct error *e);

/* Returns whether the prefix contains the address. family is 4 or 6; IPv4-mapped IPv6 must be 4. */
bool prefix_contains(const struct prefix *prefix, uint8_t family, const uint8_t addr[16]);

/* Writes a prefix: "10.20.0.0/16", or "10.20.0.8" without the length if it is a whole address.
 * PREFIX_TEXT_MAX bytes suffice. */
#define PREFIX_TEXT_MAX 50
void prefix_format(const struct prefix *prefix, char *text, size_t size);

/* Turns an IPv6 prefix inside ::ffff:0:0/96 into the IPv4 prefix; leaves any other unchanged. */
void prefix_unmap(struct prefix *prefix);

/* Returns a destination as the configuration writes it: "any", a prefix (written to text), or a
 * host name (owned by destination). */
const char *destination_text(const struct destination *destination, char text[PREFIX_TEXT_MAX]);

/* Return the words of the configuration: "client", "when-longer"... */
const char *rule_side_name(enum rule_side side);
const char *rule_override_name(enum hf_override override);

#endif
