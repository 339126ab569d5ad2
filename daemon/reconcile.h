/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reconcile: have the kernel's sweep look at every socket of a namespace. Where it
 * had anything to do, and once after the start, the sockets that the rules should hold
 * (sock_diag's word) are compared with those that are held as they should be (socket
 * storage): that answer is the check that none was missed (before 6.17 a TCP iterator
 * can skip sockets while the table changes). Where the sweep is done from user space,
 * which is dear, that comparison comes first.
 */
#ifndef HOLDFAST_RECONCILE_H
#define HOLDFAST_RECONCILE_H

#include "log.h"
#include "plane.h"

struct reconcile; /* opaque */

struct reconcile_result {
	size_t namespaces; /* looked at */
	size_t held;	   /* newly, by this pass */
	size_t changed;	   /* to other values, since the rules have changed */
	size_t healed;	   /* put back, since the application had undone them */
	size_t restored;   /* given back, since no rule matches any more */
	size_t unheld;	   /* should be held, and can't be */
	size_t marked;	   /* held, and another program had switched off that we hear of its end */
	size_t kept;	   /* should be given back, and can't be: they keep the rules' values */
};

/* log and plane must outlive it. NULL: out of memory. */
struct reconcile *reconcile_new(const struct log *log, const struct plane *plane);
void reconcile_free(struct reconcile *reconcile);

/* From now on these rules count; plane_put_rules() has put them in force. -ENOMEM. */
int reconcile_set_rules(struct reconcile *reconcile, const struct config *config, struct error *e);

/* All namespaces. */
int reconcile_all(struct reconcile *reconcile, struct reconcile_result *result, struct error *e);

/* Only the namespaces that no pass has looked at before. */
int reconcile_unseen(struct reconcile *reconcile, struct reconcile_result *result, struct error *e);

#endif
