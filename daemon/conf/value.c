// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf/value.h"

#include "base/duration.h"
#include "base/text.h"
#include "base/util.h"
#include "conf/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define QUOTE(text) text_quote((char[TEXT_QUOTE_MAX]){0}, (text), strlen(text))

int value_yes_no(const char *text, bool *value, struct error *e)
{
	if (!strcmp(text, "yes"))
		*value = true;
	else if (!strcmp(text, "no"))
		*value = false;
	else
		return error_set(e, EINVAL, "\"%s\" is neither yes nor no (write yes or no)",
				 QUOTE(text));
	return 0;
}

/* Parses all of text as a number. One that is too large stays above all limits, but is capped. */
static int read_number(const char *text, unsigned *value)
{
	unsigned number = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(number, 10u, &number) ||
		    __builtin_add_overflow(number, (unsigned)(*text - '0'), &number))
			number = UINT32_MAX / 10; /* stays too large for any limit here */
	}
	*value = number;
	return 0;
}

int value_number(const char *text, unsigned min, unsigned max, unsigned *value, struct error *e)
{
	unsigned number;

	if (read_number(text, &number))
		return error_set(e, EINVAL, "\"%s\" is no whole number (write %u to %u)",
				 QUOTE(text), min, max);
	if (number < min || number > max)
		return error_set(e, EINVAL, "%s is out of range (write %u to %u)", QUOTE(text), min,
				 max);
	*value = number;
	return 0;
}

int value_duration(const char *text, uint64_t min, uint64_t max, bool whole, uint64_t *ms,
		   struct error *e)
{
	char least[DURATION_TEXT_MAX], most[DURATION_TEXT_MAX];
	uint64_t value;
	int err;

	err = duration_parse(text, &value);
	if (err == -EINVAL)
		return error_set(e, EINVAL,
				 "\"%s\" is no duration (write a whole number of seconds, or one "
				 "like 90s, 10min, 1h 30min, 500ms)",
				 QUOTE(text));
	duration_format(min, least, sizeof(least));
	/* Write limits as the manual does, so that they can be compared: 32767s, not 9h 6min 7s. */
	if (max % 1000 == 0 && max < 86400000)
		snprintf(most, sizeof(most), "%" PRIu64 "s", max / 1000);
	else if (max % 1000 != 0)
		snprintf(most, sizeof(most), "%" PRIu64 "ms", max);
	else
		duration_format(max, most, sizeof(most));
	if (err || value < min || value > max)
		return error_set(e, EINVAL, "%s is out of range (write %s to %s)", QUOTE(text),
				 least, most);
	if (whole && value % 1000)
		return error_set(e, EINVAL, "%s is not in whole seconds (write %" PRIu64 "s)",
				 QUOTE(text), value / 1000);
	*ms = value;
	return 0;
}

int value_word(const char *text, const char *const *words, size_t n, unsigned *index,
	       struct error *e)
{
	char all[128] = "";
	size_t used = 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		if (!strcmp(text, words[i])) {
			*index = i;
			return 0;
		}
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
					 i == 0	      ? ""
					 : i == n - 1 ? " or "
						      : ", ",
					 words[i]);
		if (used >= sizeof(all))
			used = sizeof(all) - 1;
	}
	return error_set(e, EINVAL, "\"%s\" isn't one of its values (write %s)", QUOTE(text), all);
}

int value_textfile(const char *text, char **path, struct error *e)
{
	static const char suffix[] = ".prom";
	const char *name = strrchr(text, '/');
	const char *p;
	char *copy = NULL;

	if (strcmp(text, "off") != 0) {
		for (p = text; *p; p++) {
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				return error_set(e, EINVAL,
						 "\"%s\" has control characters (write a path "
						 "without)",
						 QUOTE(text));
		}
		if (text[0] != '/')
			return error_set(e, EINVAL,
					 "\"%s\" is no absolute path (write one that begins with "
					 "/, or off)",
					 QUOTE(text));
		name++;
		if (strlen(name) < sizeof(suffix) ||
		    strcmp(name + strlen(name) - strlen(suffix), suffix) != 0)
			return error_set(e, EINVAL,
					 "\"%s\" is not a name that node_exporter reads (write "
					 "one that ends in .prom, like holdfast.prom)",
					 QUOTE(text));
		copy = strdup(text);
		if (!copy)
			return error_set(e, ENOMEM, "out of memory");
	}
	free(*path);
	*path = copy;
	return 0;
}

int value_port_range(const char *text, struct port_range *range, struct error *e)
{
	_cleanup_free_ char *copy = strdup(text);
	unsigned first, last;
	char *dash;

	if (!copy)
		return error_set(e, ENOMEM, "out of memory");
	if (!*text)
		return error_set(e, EINVAL,
				 "a list element is empty (write ports with one comma between)");
	dash = strchr(copy, '-');
	if (dash)
		*dash++ = '\0';
	if (read_number(copy, &first) || read_number(dash ? dash : copy, &last))
		return error_set(e, EINVAL,
				 "\"%s\" is no port (write a number like 3306 or a range like "
				 "33060-33062)",
				 QUOTE(text));
	if (first < 1 || first > 65535 || last < 1 || last > 65535)
		return error_set(e, EINVAL, "port %s is out of range (write 1 to 65535)",
				 QUOTE(text));
	if (first > last)
		return error_set(e, EINVAL, "port range %s is the wrong way round (write %u-%u)",
				 QUOTE(text), last, first);
	range->first = (uint16_t)first;
	range->last = (uint16_t)last;
	return 0;
}

char *value_next_element(char **list)
{
	char *element = *list, *comma, *end;

	if (!element)
		return NULL;
	comma = strchr(element, ',');
	*list = comma ? comma + 1 : NULL;
	end = comma ? comma : element + strlen(element);
	element += strspn(element, " \t");
	while (end > element && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return element;
}

static int compare_ranges(const void *left, const void *right)
{
	const struct port_range *a = left, *b = right;

	return a->first != b->first ? a->first - b->first : a->last - b->last;
}

size_t value_merge_ports(struct port_range *ranges, size_t n)
{
	size_t i, kept = 0;

	if (!n)
		return 0;
	qsort(ranges, n, sizeof(*ranges), compare_ranges);
	for (i = 1; i < n; i++) {
		if (ranges[i].first > ranges[kept].last + 1)
			ranges[++kept] = ranges[i];
		else if (ranges[i].last > ranges[kept].last)
			ranges[kept].last = ranges[i].last;
	}
	return kept + 1;
}
