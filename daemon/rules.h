/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules: what the configuration means once every default is filled in, and
 * its translation to the keys and values of the kernel's trie.
 */
#ifndef HOLDFAST_RULES_H
#define HOLDFAST_RULES_H

#include "../bpf/types.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULE_NAME_MAX 32

/* Built-in defaults; holdfast.conf(5) names them. */
#define RULE_DEFAULT_PORT      3306
#define RULE_DEFAULT_WINDOW_MS (3600u * 1000u)
#define RULE_DEFAULT_PROBES    5
#define RECONCILE_DEFAULT_S    60u
#define RULE_TIME_MAX_S	       32767u /* MAX_TCP_KEEPIDLE, include/net/tcp.h */
#define RULE_PROBES_MAX	       127u   /* MAX_TCP_KEEPCNT */

/* An address prefix, host bits zero. IPv4 (also from ::ffff:0:0/96) is family 4. */
struct prefix {
	uint8_t family;	  /* 4 or 6 */
	uint8_t len;	  /* 0 to 32, 0 to 128 */
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
	struct prefix *resolved; /* DESTINATION_NAME: its addresses by now, owned; may be NULL */
	size_t n_resolved;
};

struct port_range {
	uint16_t first, last; /* both count; first <= last, never 0 */
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
	uint64_t window_ms;
	uint16_t time_s;
	uint16_t interval_s;
	uint8_t probes;
	uint32_t user_timeout_ms; /* 0: off */
	enum hf_override override;
	bool enforce;
};

/* What a configuration says, defaults filled in. */
struct config {
	bool guard;	      /* [daemon] guard */
	uint32_t reconcile_s; /* [daemon] reconcile */
	char *textfile;	      /* [daemon] metrics-textfile, a path; owned; NULL: off */
	struct rule *rules;   /* in the order of the configuration; owned */
	size_t n_rules;
};

/* One key of the trie and its value. */
struct rule_entry {
	struct hf_key key;
	union hf_value value;
};

/* Frees what the rule owns, not the struct; then it is empty. */
void rule_free(struct rule *rule);

/* Frees what the configuration owns, not the struct; then it is empty. */
void config_free(struct config *config);

/* The built-in default: `any`, port 3306, window 1 h. -ENOMEM. */
int config_builtin(struct config *config, struct error *e);

/* Defaults that follow from other values: of `time`, and of `interval`. */
uint16_t rule_default_time(uint64_t window_ms);
uint16_t rule_default_interval(uint16_t time_s);

/* The rule of that name, or NULL. The configuration keeps it. */
const struct rule *config_find_rule(const struct config *config, const char *name);

/* hf_rule.key: a hash of the name (FNV-1a), by which counters outlive reloads. */
uint64_t rule_key(const char *name);

/*
 * Translates all rules into trie entries; the array is the caller's to free.
 * Host names count with the addresses resolved by now. Where a resolved
 * address is claimed by a rule's literal prefix of full length too, the literal
 * one wins, and of two names the earlier rule. Errors: -ENOMEM, -E2BIG (more
 * entries than a map of sensible size holds).
 */
int rules_compile(const struct config *config, uint32_t generation, struct rule_entry **entries,
		  size_t *n_entries, struct error *e);

/*
 * The configuration as text that conf_parse_text() reads back to the same
 * rules, all defaults filled in; resolved addresses of host names are kept.
 * The caller frees it; NULL: out of memory.
 */
char *config_to_text(const struct config *config);

/* Whether the prefix holds the address (family 4 or 6, IPv4-mapped as 4). */
bool prefix_contains(const struct prefix *prefix, uint8_t family, const uint8_t addr[16]);

/* "10.20.0.0/16"; a whole address goes without the length. Size PREFIX_TEXT_MAX. */
#define PREFIX_TEXT_MAX 50
void prefix_format(const struct prefix *prefix, char *text, size_t size);

/* An IPv6 prefix inside ::ffff:0:0/96 becomes the IPv4 one; others stay as they are. */
void prefix_unmap(struct prefix *prefix);

/* As the configuration has it: "any", a prefix (written to text), a host name. */
const char *destination_text(const struct destination *destination, char text[PREFIX_TEXT_MAX]);

/* The words of the configuration: "client", "when-longer"... */
const char *rule_side_name(enum rule_side side);
const char *rule_override_name(enum hf_override override);

#endif
