// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/survey.h"

#include "base/util.h"
#include "kernel/iter.h"

#include <errno.h>
#include <stdio.h>

/* Negative where the namespace has no socket table of its own and uses the first one's (6.1). */
#define ENTRIES "/proc/sys/net/ipv4/tcp_ehash_entries"

static int read_entries(void *arg)
{
	_cleanup_fclose_ FILE *file = fopen(ENTRIES, "re");

	return file && fscanf(file, "%d", (int *)arg) == 1 ? 0 : -ENOENT;
}

/*
 * Finds the namespaces that have a table of their own. Skips ours, which comes first: if it has
 * one, the walk itself reports that any namespace may have something to do.
 */
static int find_apart(const struct netns_list *namespaces, struct survey *survey)
{
	struct error ignored;
	int entries, err = 0;
	size_t i;

	for (i = 1; !err && i < namespaces->n; i++) {
		if (netns_call(&namespaces->list[i], read_entries, &entries, &ignored) < 0 ||
		    entries >= 0)
			err = u64_set_add(&survey->apart, namespaces->list[i].inode);
	}
	return err;
}

static int add_word(const void *record, void *arg)
{
	uint64_t word = *(const uint64_t *)record;
	struct survey *survey = arg;

	if (word == HF_SURVEY_TODO)
		survey->unknown = true;
	else if (word & HF_SURVEY_TODO)
		return u64_set_add(&survey->todo, word & ~HF_SURVEY_TODO);
	else
		return u64_set_add(&survey->loose, word & ~HF_SURVEY_LOOSE);
	return 0;
}

void survey_take(const struct data_plane *plane, const struct netns_list *namespaces,
		 struct survey *survey)
{
	struct error ignored;

	*survey = (struct survey){0};
	if (!pins_has(&plane->pins, PIN_SURVEY) || find_apart(namespaces, survey) ||
	    iter_run(&plane->pins, PIN_SURVEY, sizeof(uint64_t), add_word, survey, &ignored))
		survey->unknown = true;
	u64_set_sort(&survey->todo);
	u64_set_sort(&survey->loose);
	u64_set_sort(&survey->apart);
}

void survey_free(struct survey *survey)
{
	u64_set_free(&survey->todo);
	u64_set_free(&survey->loose);
	u64_set_free(&survey->apart);
}

bool survey_has_todo(const struct survey *survey, uint64_t netns)
{
	return survey->unknown || u64_set_have(&survey->todo, netns) ||
	       u64_set_have(&survey->apart, netns);
}

bool survey_has_unheld(const struct survey *survey, uint64_t netns)
{
	return survey_has_todo(survey, netns) || u64_set_have(&survey->loose, netns);
}
