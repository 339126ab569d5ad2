// SPDX-License-Identifier: GPL-2.0-or-later
#include "survey.h"

#include "util.h"

#include <errno.h>
#include <stdio.h>

/* Negative where the namespace has no table of its own, and so the first one's (since 6.1). */
#define ENTRIES "/proc/sys/net/ipv4/tcp_ehash_entries"

static int read_entries(void *arg)
{
	_cleanup_fclose_ FILE *file = fopen(ENTRIES, "re");

	return file && fscanf(file, "%d", (int *)arg) == 1 ? 0 : -ENOENT;
}

/* Ours comes first. Where it has a table of its own, the walk itself says that it knows nothing. */
static int find_apart(const struct netns_list *namespaces, struct survey *survey)
{
	struct error ignored;
	int entries, err = 0;
	size_t i;

	for (i = 1; !err && i < namespaces->n; i++) {
		if (netns_call(&namespaces->list[i], read_entries, &entries, &ignored) < 0 ||
		    entries >= 0)
			err = numbers_add(&survey->apart, namespaces->list[i].inode);
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
		return numbers_add(&survey->todo, word & ~HF_SURVEY_TODO);
	else
		return numbers_add(&survey->loose, word & ~HF_SURVEY_LOOSE);
	return 0;
}

void survey_take(const struct plane *plane, const struct netns_list *namespaces,
		 struct survey *survey)
{
	struct error ignored;

	*survey = (struct survey){0};
	if (!pins_has(&plane->pins, PIN_SURVEY) || find_apart(namespaces, survey) ||
	    iter_run(&plane->pins, PIN_SURVEY, sizeof(uint64_t), add_word, survey, &ignored))
		survey->unknown = true;
	numbers_sort(&survey->todo);
	numbers_sort(&survey->loose);
	numbers_sort(&survey->apart);
}

void survey_free(struct survey *survey)
{
	numbers_free(&survey->todo);
	numbers_free(&survey->loose);
	numbers_free(&survey->apart);
}

bool survey_has_todo(const struct survey *survey, uint64_t netns)
{
	return survey->unknown || numbers_have(&survey->todo, netns) ||
	       numbers_have(&survey->apart, netns);
}

bool survey_has_unheld(const struct survey *survey, uint64_t netns)
{
	return survey_has_todo(survey, netns) || numbers_have(&survey->loose, netns);
}
