/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to think of a socket that a rule matches. */
#ifndef HOLDFAST_VERDICT_H
#define HOLDFAST_VERDICT_H

#include "rules.h"

enum verdict {
	VERDICT_HELD,	 /* keepalive is on with the rule's values */
	VERDICT_OWN,	 /* the application's own keepalive is on, and outlives the window too */
	VERDICT_PROBING, /* probes are out and unanswered */
	VERDICT_EXPOSED, /* would not outlive the window */
	VERDICT_CLOSED,	 /* the server has closed it, the application hasn't noticed */
	VERDICT_EXEMPT,	 /* enforce = no */
	N_VERDICTS,
};

/* "held"... */
const char *verdict_name(enum verdict verdict);

/* The verdict of that name, or -EINVAL. */
int verdict_parse(const char *name);

/*
 * state: TCP_ESTABLISHED... of <netinet/tcp.h>. now: what is in force on the
 * socket, sysctls filled in. unanswered: keepalive probes out.
 */
enum verdict verdict_of(const struct rule *rule, int state, const struct hf_keepalive *now,
			unsigned unanswered);

#endif
