/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes the configuration as text that conf_parse_text() reads. The text is like a configuration
 * file, but begins with a mark. With the mark, a rule may have the key `resolved` (a host name and
 * its addresses), and lines may be longer than CONF_LINE_MAX. The mark doesn't count in files.
 */
#ifndef HOLDFAST_CONF_TEXT_H
#define HOLDFAST_CONF_TEXT_H

#include "rules/rules.h"

#define CONF_TEXT_MARK	   "#! holdfast: the rules in force"
#define CONF_TEXT_RESOLVED "resolved"

/*
 * Returns the configuration as text, which the caller frees. The text has all defaults filled in,
 * and the resolved addresses of host names; conf_parse_text() reads the same rules from it. NULL:
 * out of memory.
 */
char *conf_write_text(const struct config *config);

/*
 * Hashes the text of a rule, without resolved addresses: rules that say the same have the same
 * hash. Returns 0 or -ENOMEM.
 */
int conf_rule_hash(const struct rule *rule, uint64_t *hash);

#endif
