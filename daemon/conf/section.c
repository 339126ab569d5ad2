// SPDX-License-Identifier: GPL-2.0-or-later
/* Handles sections and keys: which exist, and which key may be given in which section. */
#include "base/text.h"
#include "base/util.h"
#include "conf/parse.h"
#include "conf/text.h"

#include <string.h>

static void unknown_key(struct conf_parser *parser, const char *name, unsigned in)
{
	const char *nearest = NULL;
	size_t distance, best = SIZE_MAX, size = strlen(name), used = 0;
	char quote[TEXT_QUOTE_MAX], all[192] = "";
	enum conf_key key, similar;

	text_quote(quote, name, size);
	/* The sysctl for the interval is called tcp_keepalive_intvl. */
	if (strstr(name, "intvl"))
		nearest = conf_key_name(CONF_INTERVAL);
	for (key = 0; key < CONF_N_KEYS; key++) {
		if (!(conf_key_sections(key) & in) || key == CONF_RESOLVED)
			continue;
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "",
					 conf_key_name(key));
		if (conf_words_near(name, size, conf_key_name(key), &distance) && distance < best) {
			best = distance;
			nearest = conf_key_name(key);
		}
	}
	if (nearest && conf_find_key(nearest, true, &similar) && (in & conf_key_sections(similar)))
		conf_error(parser, parser->place, "unknown key \"%s\" (write %s)", quote, nearest);
	else
		conf_error(parser, parser->place, "unknown key \"%s\" (write one of %s)", quote,
			   all);
}

/* Reports a known key in a section where it may not be given. */
static void misplaced_key(struct conf_parser *parser, enum conf_key key)
{
	const char *name = conf_key_name(key);

	if (key == CONF_DESTINATION && parser->section == CONF_SECTION_DEFAULTS)
		conf_error(parser, parser->place,
			   "destination can't have a default (write it in each [rule NAME])");
	else if (conf_key_sections(key) & CONF_IN_DAEMON)
		conf_error(parser, parser->place, "unknown key \"%s\" here (write it in [daemon])",
			   name);
	else
		conf_error(parser, parser->place,
			   "unknown key \"%s\" here (write it in [defaults] or [rule NAME])", name);
}

void conf_take_key(struct conf_parser *parser, const char *name, const char *value)
{
	struct conf_section *section = NULL;
	char quote[TEXT_QUOTE_MAX];
	unsigned in = 0;
	enum conf_key key;

	switch (parser->section) {
	case CONF_SECTION_NONE:
		conf_error(parser, parser->place,
			   "key \"%s\" is outside any section (write [daemon], [defaults] or [rule "
			   "NAME] above it)",
			   text_quote(quote, name, strlen(name)));
		return;
	case CONF_SECTION_UNKNOWN:
		return;
	case CONF_SECTION_DAEMON:
		section = &parser->daemon;
		in = CONF_IN_DAEMON;
		break;
	case CONF_SECTION_DEFAULTS:
		section = &parser->defaults;
		in = CONF_IN_DEFAULTS;
		break;
	case CONF_SECTION_RULE:
		section = &parser->rules[parser->n_rules - 1];
		in = CONF_IN_RULE;
		break;
	}

	if (!conf_find_key(name, parser->marked, &key)) {
		unknown_key(parser, name, in);
		return;
	}
	if (!(conf_key_sections(key) & in)) {
		misplaced_key(parser, key);
		return;
	}
	/* A later file may override what an earlier file has set, but a later line may not
	 * override an earlier line of its file. */
	if (section->given[key] && section->at[key].file == parser->place.file &&
	    key != CONF_RESOLVED)
		conf_error(parser, parser->place,
			   "%s is given twice (write it once, it is on line %u)", name,
			   section->at[key].line);
	section->given[key] = true;
	section->bad[key] = false;
	section->at[key] = parser->place;
	conf_take_value(parser, section, key, value);
}

static struct conf_section *add_rule(struct conf_parser *parser)
{
	struct conf_section *list;
	size_t room;

	if (parser->n_rules == parser->room_rules) {
		room = parser->room_rules ? 2 * parser->room_rules : 16;
		list = realloc(parser->rules, room * sizeof(*list));
		if (!list)
			return NULL;
		parser->rules = list;
		parser->room_rules = room;
	}
	list = &parser->rules[parser->n_rules];
	memset(list, 0, sizeof(*list));
	list->kind = CONF_SECTION_RULE;
	list->place = parser->place;
	return list;
}

static void take_rule(struct conf_parser *parser, const char *name, size_t size)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	struct conf_section *rule = add_rule(parser);
	char quote[TEXT_QUOTE_MAX];
	size_t i;

	if (rule)
		rule->title = strndup(name, size);
	if (!rule || !rule->title) {
		parser->out_of_memory = true;
		parser->section = CONF_SECTION_UNKNOWN;
		return;
	}
	parser->n_rules++;
	parser->section = CONF_SECTION_RULE;

	text_quote(quote, name, size);
	for (i = 0; i < size && memchr(allowed, name[i], sizeof(allowed) - 1); i++)
		;
	if (!size)
		conf_error(parser, rule->place, "the rule has no name (write [rule NAME])");
	else if (i < size)
		conf_error(parser, rule->place,
			   "rule name \"%s\" has characters that it may not have (write letters, "
			   "digits, dots, underscores and hyphens)",
			   quote);
	else if (size > RULE_NAME_MAX)
		conf_error(parser, rule->place,
			   "rule name \"%s\" is too long (write at most %d characters)", quote,
			   RULE_NAME_MAX);
	else
		memcpy(rule->values.name, name, size);
}

static void unknown_section(struct conf_parser *parser, const char *name, size_t size)
{
	static const struct {
		const char *word, *header;
	} known[] = {{"daemon", "[daemon]"}, {"defaults", "[defaults]"}, {"rule", "[rule NAME]"}};
	const char *nearest = "[daemon], [defaults] or [rule NAME]";
	size_t word = 0, distance, best = SIZE_MAX, i;
	char quote[TEXT_QUOTE_MAX];

	while (word < size && name[word] != ' ' && name[word] != '\t')
		word++;
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (conf_words_near(name, word, known[i].word, &distance) && distance < best) {
			best = distance;
			nearest = known[i].header;
		}
	}
	conf_error(parser, parser->place, "unknown section [%s] (write %s)",
		   text_quote(quote, name, size), nearest);
	parser->section = CONF_SECTION_UNKNOWN;
}

void conf_take_section(struct conf_parser *parser, const char *name, size_t size)
{
	static const char rule[] = "rule";
	const size_t word = sizeof(rule) - 1;

	if (size == 6 && !memcmp(name, "daemon", size)) {
		parser->section = CONF_SECTION_DAEMON;
	} else if (size == 8 && !memcmp(name, "defaults", size)) {
		parser->section = CONF_SECTION_DEFAULTS;
	} else if (size >= word && !memcmp(name, rule, word) &&
		   (size == word || name[word] == ' ' || name[word] == '\t')) {
		name += word;
		size -= word;
		while (size && (*name == ' ' || *name == '\t')) {
			name++;
			size--;
		}
		take_rule(parser, name, size);
	} else {
		unknown_section(parser, name, size);
	}
}
