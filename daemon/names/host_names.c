// SPDX-License-Identifier: GPL-2.0-or-later
#include "names/host_names.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* A walk over the destinations of a configuration that are host names. */
struct walk {
	const struct config *config;
	size_t rule, destination; /* indices of the next destination */
};

/* Returns the next destination that is a host name, or NULL. */
static struct destination *walk_on(struct walk *walk)
{
	for (; walk->rule < walk->config->n_rules; walk->rule++, walk->destination = 0) {
		const struct rule *rule = &walk->config->rules[walk->rule];

		while (walk->destination < rule->n_destinations) {
			struct destination *d = &rule->destinations[walk->destination++];

			if (d->kind == DESTINATION_NAME)
				return d;
		}
	}
	return NULL;
}

static struct name *find(struct name *name, const char *text)
{
	while (name && strcasecmp(name->text, text) != 0)
		name = name->next;
	return name;
}

static void name_free(struct name *name)
{
	answers_free(&name->lookup.answers);
	known_free(&name->known);
	free(name->text);
	free(name);
}

/* Returns the name of a destination. A new one is added to the list, but isn't wanted yet. NULL:
 * out of memory. */
static struct name *find_or_add(struct name **names, const struct destination *destination,
				uint64_t now_us)
{
	struct name *name = find(*names, destination->name);

	if (!name) {
		name = calloc(1, sizeof(*name));
		if (!name)
			return NULL;
		name->text = strdup(destination->name);
		if (!name->text) {
			free(name);
			return NULL;
		}
		name->next = *names;
		*names = name;
	}
	if (!name->known.n &&
	    known_adopt(&name->known, destination->resolved, destination->n_resolved, now_us))
		return NULL;
	return name;
}

static void want(struct name *name)
{
	if (name->dropped) { /* what was known when it was dropped is no answer */
		name->tried = false;
		name->due_us = 0;
	}
	name->wanted = true;
	name->dropped = false;
	name->keep_us = 0;
}

/* Returns the kept name that was dropped first, and in *n how many addresses all of them have. */
static struct name *find_first_dropped(struct name *name, size_t *n)
{
	struct name *first = NULL;

	for (*n = 0; name; name = name->next) {
		if (name->wanted || !name->keep_us)
			continue;
		*n += name->known.n;
		if (!first || name->keep_us < first->keep_us)
			first = name;
	}
	return first;
}

/* Has the names of this configuration wanted, and no others. */
static void choose(struct name *names, const struct config *config, uint64_t now_us)
{
	const struct destination *destination;
	struct walk walk = {.config = config};
	struct name *name;
	size_t n;

	for (name = names; name; name = name->next) {
		if (name->wanted)
			name->keep_us = name->known.n ? now_us + KNOWN_KEEP_US : 0;
		name->dropped = !name->wanted;
		name->wanted = false;
	}
	while ((destination = walk_on(&walk)))
		want(find(names, destination->name));
	while ((name = find_first_dropped(names, &n)) && n > NAMES_KEEP_MOST)
		name->keep_us = 0;
}

int names_set(struct name **names, const struct config *config, uint64_t now_us, struct error *e)
{
	const struct destination *destination;
	struct walk walk = {.config = config};

	/* First do all that can fail. */
	while ((destination = walk_on(&walk))) {
		if (!find_or_add(names, destination, now_us)) {
			names_remove_unwanted(names, now_us);
			return error_set(e, ENOMEM, "out of memory");
		}
	}
	choose(*names, config, now_us);
	names_remove_unwanted(names, now_us);
	return 0;
}

void names_remove_unwanted(struct name **names, uint64_t now_us)
{
	struct name *name;

	while ((name = *names)) {
		if (name->wanted || name->looking || now_us < name->keep_us) {
			names = &name->next;
			continue;
		}
		*names = name->next;
		name_free(name);
	}
}

int names_fill(struct name *names, struct config *config, struct error *e)
{
	struct walk walk = {.config = config};
	struct destination *destination;
	struct prefix *list;

	while ((destination = walk_on(&walk))) {
		const struct name *name = find(names, destination->name);
		size_t i, n = name ? name->known.n : 0;

		if (!n)
			continue;
		list = reallocarray(NULL, n, sizeof(*list));
		if (!list)
			return error_set(e, ENOMEM, "out of memory");
		for (i = 0; i < n; i++)
			list[i] = name->known.list[i].address;
		free(destination->resolved);
		destination->resolved = list;
		destination->n_resolved = n;
	}
	return 0;
}

void names_free(struct name **names)
{
	struct name *name;

	while ((name = *names)) {
		*names = name->next;
		name_free(name);
	}
}
