/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a reconcile pass has found and done. */
#ifndef HOLDFAST_SOCKETS_PASS_RESULT_H
#define HOLDFAST_SOCKETS_PASS_RESULT_H

#include <stdbool.h>
#include <stddef.h>

struct reconcile_result {
	size_t namespaces; /* how many the pass has looked at; all others count sockets: */
	size_t held;	   /* newly held */
	size_t changed;	   /* changed to other values, since the rules have changed */
	size_t healed;	   /* held again, since the application had undone it */
	size_t restored;   /* given back, since no rule matches any more */
	size_t unheld;	   /* should be held, and can't be */
	size_t marked;	   /* another sockops program had switched off the report of their end */
	size_t kept;	   /* should be given back, and can't be: they keep the rules' values */
	bool looked;	   /* a full pass has looked at all namespaces, but for those that have gone
			    * or can't be reached */
};

#endif
