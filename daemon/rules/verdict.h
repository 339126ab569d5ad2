/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Judges sockets that a rule matches. */
#ifndef HOLDFAST_RULES_VERDICT_H
#define HOLDFAST_RULES_VERDICT_H

#include "rules/rules.h"

enum verdict {
	VERDICT_HELD,	 /* keepalive is on with the rule's values */
	VERDICT_OWN,	 /* the application's own keepalive is on, and outlives the window */
	VERDICT_PROBING, /* probes are out and unanswered */
	VERDICT_EXPOSED, /* would not outlive the window: keepalive is off or too late */
	VERDICT_CLOSED,	 /* the server has closed it, and the application hasn't noticed */
	VERDICT_EXEMPT,	 /* enforce = no, or `holdfast measure` has it idle */
	N_VERDICTS,
};

/* Returns the name of a verdict: "held"... */
const char *verdict_name(enum verdict verdict);

/* Returns the verdict of that name, or -EINVAL. */
int verdict_parse(const char *name);

/*
 * Returns the verdict on a socket that the rule matches. state is the TCP state (TCP_ESTABLISHED...
 * of <netinet/tcp.h>), now has the socket's settings in force with sysctls filled in, and
 * unanswered is the number of unanswered keepalive probes.
 */
enum verdict verdict_of(const struct rule *rule, int state, const struct hf_keepalive *now,
			unsigned unanswered);

#endif
