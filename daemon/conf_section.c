// SPDX-License-Identifier: GPL-2.0-or-later
/* Sections and keys: which there are, and where which may stand. */
#include "conf_parse.h"
#include "conf_text.h"
#include "text.h"
#include "util.h"

#include <string.h>

enum {
	IN_DAEMON = 1 << 0,
	IN_DEFAULTS = 1 << 1,
	IN_RULE = 1 << 2,
};

static const struct {
	const char *name;
	unsigned in;
} keys[CONF_N_KEYS] = {
	[CONF_GUARD] = {"guard", IN_DAEMON},
	[CONF_RECONCILE] = {"reconcile", IN_DAEMON},
	[CONF_TEXTFILE] = {"metrics-textfile", IN_DAEMON},
	[CONF_DESTINATION] = {"destination", IN_RULE},
	[CONF_RESOLVED] = {CONF_TEXT_RESOLVED, IN_RULE},
	[CONF_PORT] = {"port", IN_DEFAULTS | IN_RULE},
	[CONF_SIDE] = {"side", IN_DEFAULTS | IN_RULE},
	[CONF_WINDOW] = {"window", IN_DEFAULTS | IN_RULE},
	[CONF_TIME] = {"time", IN_DEFAULTS | IN_RULE},
	[CONF_INTERVAL] = {"interval", IN_DEFAULTS | IN_RULE},
	[CONF_PROBES] = {"probes", IN_DEFAULTS | IN_RULE},
	[CONF_USER_TIMEOUT] = {"user-timeout", IN_DEFAULTS | IN_RULE},
	[CONF_OVERRIDE] = {"override", IN_DEFAULTS | IN_RULE},
	[CONF_ENFORCE] = {"enforce", IN_DEFAULTS | IN_RULE},
};

const char *conf_key_name(enum conf_key key)
{
	return keys[key].name;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits (a letter more, less or changed) between two words, the first up to 24 long. */
static size_t edits(const char *a, size_t a_size, const char *b)
{
	size_t row[25], i, j, diagonal, above;

	for (i = 0; i <= a_size; i++)
		row[i] = i;
	for (j = 1; b[j - 1]; j++) {
		diagonal = row[0];
		row[0] = j;
		for (i = 1; i <= a_size; i++) {
			char c = a[i - 1];

			if (c >= 'A' && c <= 'Z')
				c = (char)(c - 'A' + 'a');
			above = row[i];
			row[i] =
				least(least(above, row[i - 1]) + 1,
				      diagonal + (c != b[j - 1] && !(c == '_' && b[j - 1] == '-')));
			diagonal = above;
		}
	}
	return row[a_size];
}

/* Whether it may be a slip of the pen, or a longer or shorter word for the same. */
static bool near(const char *word, size_t size, const char *known, size_t *distance)
{
	char copy[25] = "";

	if (size < 2 || size >= sizeof(copy))
		return false;
	memcpy(copy, word, size);
	*distance = edits(copy, size, known);
	if (*distance <= 2 && *distance < size && *distance < strlen(known) - 1)
		return true;
	*distance = 3;
	return size >= 4 && (!strncmp(known, copy, size) || strstr(copy, known));
}

static int find_key(const char *name, bool marked)
{
	int key;

	for (key = 0; key < CONF_N_KEYS; key++) {
		if (!strcmp(keys[key].name, name) && (key != CONF_RESOLVED || marked))
			return key;
	}
	return -1;
}

static void unknown_key(struct conf_parser *parser, const char *name, unsigned in)
{
	const char *nearest = NULL;
	size_t distance, best = SIZE_MAX, size = strlen(name), used = 0;
	char quote[TEXT_QUOTE_MAX], all[192] = "";
	int key;

	text_quote(quote, name, size);
	/* `tcp_keepalive_intvl` is what the sysctl is called. */
	if (strstr(name, "intvl"))
		nearest = keys[CONF_INTERVAL].name;
	for (key = 0; key < CONF_N_KEYS; key++) {
		if (!(keys[key].in & in) || key == CONF_RESOLVED)
			continue;
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "",
					 keys[key].name);
		if (near(name, size, keys[key].name, &distance) && distance < best) {
			best = distance;
			nearest = keys[key].name;
		}
	}
	if (nearest && (in & keys[find_key(nearest, true)].in))
		conf_error(parser, parser->place, "unknown key \"%s\" (write %s)", quote, nearest);
	else
		conf_error(parser, parser->place, "unknown key \"%s\" (write one of %s)", quote,
			   all);
}

/* A known key in a section where it has no business. */
static void misplaced_key(struct conf_parser *parser, int key)
{
	const char *name = keys[key].name;

	if (key == CONF_DESTINATION && parser->section == CONF_SECTION_DEFAULTS)
		conf_error(parser, parser->place,
			   "destination can't have a default (write it in each [rule NAME])");
	else if (keys[key].in & IN_DAEMON)
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
	int key;

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
		in = IN_DAEMON;
		break;
	case CONF_SECTION_DEFAULTS:
		section = &parser->defaults;
		in = IN_DEFAULTS;
		break;
	case CONF_SECTION_RULE:
		section = &parser->rules[parser->n_rules - 1];
		in = IN_RULE;
		break;
	}

	key = find_key(name, parser->marked);
	if (key < 0) {
		unknown_key(parser, name, in);
		return;
	}
	if (!(keys[key].in & in)) {
		misplaced_key(parser, key);
		return;
	}
	/* A later file may override what an earlier one has set, a later line may not. */
	if (section->given[key] && section->at[key].file == parser->place.file &&
	    key != CONF_RESOLVED)
		conf_error(parser, parser->place,
			   "%s is given twice (write it once, it is on line %u)", name,
			   section->at[key].line);
	section->given[key] = true;
	section->bad[key] = false;
	section->at[key] = parser->place;
	conf_take_value(parser, section, (enum conf_key)key, value);
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
		if (near(name, word, known[i].word, &distance) && distance < best) {
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
