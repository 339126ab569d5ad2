/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the sockets that should be held and aren't: those that sock_diag shows and a rule
 * matches, without those that have a record.
 */
#ifndef HOLDFAST_SOCKETS_MISSING_H
#define HOLDFAST_SOCKETS_MISSING_H

#include "base/cookie_set.h"
#include "base/u64_set.h"
#include "host/sockdiag.h"
#include "kernel/data_plane.h"
#include "kernel/scope.h"
#include "rules/rules.h"

struct lpm;

/* The rules that say which sockets should be held. All zero: none. */
struct wanted {
	struct lpm *lpm; /* owned */
	struct port_filter filter;
	struct scope scope; /* of the current pass */
};

/* Replaces the rules. Returns 0, or -ENOMEM or -E2BIG, and then the old rules stay. */
int wanted_set(struct wanted *wanted, const struct config *config, struct error *e);
void wanted_free(struct wanted *wanted);

/* What the records say, and what sweeps have found. */
struct held {
	struct cookie_set settled; /* cookies of sockets on which a sweep has nothing to do */
	struct u64_set dirty;	   /* inodes of namespaces with records on which it has; sorted */
	struct cookie_set others;  /* cookies of sockets that sweeps reported as
				    * HF_SWEPT_OTHER_SIDE */
};

/*
 * Reads settled and dirty anew from the records, and keeps others. Returns 0, or a negative errno
 * and an empty held.
 */
int held_read(const struct data_plane *plane, const struct netns_list *namespaces,
	      struct held *held, struct error *e);
void held_free(struct held *held);

/*
 * Counts in *n the sockets of the namespace that should be held and aren't. Returns 0 or a
 * negative errno.
 */
int missing_count(const struct wanted *wanted, const struct held *held, const struct netns *ns,
		  size_t *n, struct error *e);

#endif
