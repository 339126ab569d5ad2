// SPDX-License-Identifier: GPL-2.0-or-later
#include "resolver_names.h"
#include "util.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* Where a walk over the destinations of a configuration has come to. */
struct walk {
	const struct config *config;
	size_t rule, destination;
};

/* The next destination that is a host name; NULL: no more. */
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

/* The name of a destination, new ones wanted by nobody yet. NULL: out of memory. */
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

int names_set(struct name **names, const struct config *config, uint64_t now_us, struct error *e)
{
	const struct destination *destination;
	struct walk walk = {.config = config};
	struct name *name;

	/* All that can fail first. */
	while ((destination = walk_on(&walk))) {
		if (!find_or_add(names, destination, now_us)) {
			names_remove_unwanted(names);
			return error_set(e, ENOMEM, "out of memory");
		}
	}
	for (name = *names; name; name = name->next)
		name->wanted = false;
	walk = (struct walk){.config = config};
	while ((destination = walk_on(&walk)))
		find(*names, destination->name)->wanted = true;
	names_remove_unwanted(names);
	return 0;
}

void names_remove_unwanted(struct name **names)
{
	struct name *name;

	while ((name = *names)) {
		if (name->wanted || name->looking) {
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
