/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking host names up without blocking, through c-ares: in /etc/hosts first,
 * then from the name servers of /etc/resolv.conf, IPv4 and IPv6 addresses in two
 * questions so that one may fail without the other. The caller polls one
 * descriptor and calls dns_process(); answers come by no other way.
 */
#ifndef HOLDFAST_RESOLVER_DNS_H
#define HOLDFAST_RESOLVER_DNS_H

#include "resolver_answer.h"

struct dns; /* opaque */

/* A look-up of one name. It stays where it is while anything is pending. */
struct dns_lookup {
	struct dns_question {
		struct dns_lookup *lookup;
		struct answer *answer;
	} questions[RESOLVER_QUESTIONS];
	unsigned pending;	/* questions without an answer; 0: finished */
	struct answers answers; /* owned */
};

/* -ENOMEM, -EMFILE... The files are read at the first dns_refresh(). */
int dns_new(struct dns **dns, struct error *e);

/* Look-ups end: what they miss is ANSWER_MISSING. NULL is fine. */
void dns_free(struct dns *dns);

/* To be polled for input; dns_free() closes it. */
int dns_fd(const struct dns *dns);

/*
 * Reads /etc/hosts and /etc/resolv.conf again where they have changed since the
 * last call. True: they have; then look-ups under way have ended, with
 * ANSWER_MISSING for what they miss.
 */
bool dns_refresh(struct dns *dns);

/* Starts a look-up, which may be finished at once. */
void dns_start(struct dns *dns, const char *name, struct dns_lookup *lookup);

/* Takes in what has come, and gives up on what hasn't in time. Never blocks. */
void dns_process(struct dns *dns);

/* Call dns_process() after so many milliseconds, input or not. UINT64_MAX: no need. */
uint64_t dns_timeout_ms(const struct dns *dns);

#endif
