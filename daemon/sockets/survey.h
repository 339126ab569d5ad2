/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the network namespaces in which a sweep has something to do, in one walk over the sockets
 * of all of them (bpf/survey.bpf.c). Where the kernel can't do that (before 6.2;
 * lockdown=confidentiality), any namespace may have something to do.
 */
#ifndef HOLDFAST_SOCKETS_SURVEY_H
#define HOLDFAST_SOCKETS_SURVEY_H

#include "base/u64_set.h"
#include "host/netns.h"
#include "kernel/data_plane.h"

struct survey {
	/* Inodes of namespaces, each list sorted: */
	struct u64_set todo;  /* a sweep has something to do there */
	struct u64_set loose; /* a rule matches sockets that have no record and shall have none */
	struct u64_set apart; /* they have a table of their own, which the walk doesn't see */
	bool unknown;	      /* the lists may lack any namespace */
};

/* Takes a survey; survey_free() frees it. Doesn't fail: sets `unknown` instead. */
void survey_take(const struct data_plane *plane, const struct netns_list *namespaces,
		 struct survey *survey);
void survey_free(struct survey *survey);

/* Tells whether a sweep of the namespace may have something to do. */
bool survey_has_todo(const struct survey *survey, uint64_t netns);

/* Tells whether the namespace may have sockets that a rule matches and that have no record. */
bool survey_has_unheld(const struct survey *survey, uint64_t netns);

#endif
