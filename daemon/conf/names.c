// SPDX-License-Identifier: GPL-2.0-or-later
/* Has the names of keys and the sections in which they may be given, and finds similar words. */
#include "conf/parse.h"
#include "conf/text.h"

#include <string.h>

static const struct {
	const char *name;
	unsigned in;
} keys[CONF_N_KEYS] = {
	[CONF_GUARD] = {"guard", CONF_IN_DAEMON},
	[CONF_RECONCILE] = {"reconcile", CONF_IN_DAEMON},
	[CONF_TEXTFILE] = {"metrics-textfile", CONF_IN_DAEMON},
	[CONF_DESTINATION] = {"destination", CONF_IN_RULE},
	[CONF_RESOLVED] = {CONF_TEXT_RESOLVED, CONF_IN_RULE},
	[CONF_PORT] = {"port", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_SIDE] = {"side", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_WINDOW] = {"window", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_TIME] = {"time", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_INTERVAL] = {"interval", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_PROBES] = {"probes", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_USER_TIMEOUT] = {"user-timeout", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_OVERRIDE] = {"override", CONF_IN_DEFAULTS | CONF_IN_RULE},
	[CONF_ENFORCE] = {"enforce", CONF_IN_DEFAULTS | CONF_IN_RULE},
};

const char *conf_key_name(enum conf_key key)
{
	return keys[key].name;
}

unsigned conf_key_sections(enum conf_key key)
{
	return keys[key].in;
}

bool conf_find_key(const char *name, bool marked, enum conf_key *found)
{
	enum conf_key key;

	for (key = 0; key < CONF_N_KEYS; key++) {
		if (!strcmp(keys[key].name, name) && (key != CONF_RESOLVED || marked)) {
			*found = key;
			return true;
		}
	}
	return false;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Returns the edit distance of two words (letters inserted, removed or changed). The first has up
 * to 24 letters; its case, and `_` instead of `-`, don't count. */
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

bool conf_words_near(const char *word, size_t size, const char *known, size_t *distance)
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
