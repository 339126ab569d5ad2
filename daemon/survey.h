/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which network namespaces have something to do, found out in one walk over all of their
 * sockets: see bpf/survey.bpf.c. Where the kernel can't (before 6.2; lockdown=confidentiality),
 * every namespace may have.
 */
#ifndef HOLDFAST_SURVEY_H
#define HOLDFAST_SURVEY_H

#include "netns.h"
#include "numbers.h"
#include "plane.h"

struct survey {
	struct numbers todo; /* inodes of namespaces where a sweep has something to do; sorted */
	struct numbers
		loose; /* where matching sockets have no record and are to have none; sorted */
	struct numbers apart; /* where the walk didn't come: with a table of their own; sorted */
	bool unknown;	      /* anything may be anywhere */
};

/* Never fails: what can't be found out is unknown. The caller frees it. */
void survey_take(const struct plane *plane, const struct netns_list *namespaces,
		 struct survey *survey);
void survey_free(struct survey *survey);

/* Whether a sweep of the namespace may have something to do. */
bool survey_has_todo(const struct survey *survey, uint64_t netns);

/* Whether it may have sockets that a rule matches and that have no record. */
bool survey_has_unheld(const struct survey *survey, uint64_t netns);

#endif
