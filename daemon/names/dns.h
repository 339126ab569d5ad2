/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looks host names up without blocking, through c-ares: in /etc/hosts first, then with the name
 * servers of /etc/resolv.conf. IPv4 and IPv6 addresses are separate questions, so that one may fail
 * without the other. The caller polls one descriptor and calls dns_process(), which takes the
 * answers of the name servers.
 */
#ifndef HOLDFAST_NAMES_DNS_H
#define HOLDFAST_NAMES_DNS_H

#include "names/answer.h"

struct dns; /* opaque */

/* A look-up of one name. The caller must not move or free it while `pending` isn't 0. */
struct dns_lookup {
	struct dns_question {
		struct dns_lookup *lookup;
		struct answer *answer;
	} questions[RESOLVER_QUESTIONS];
	unsigned pending;	/* number of questions without an answer; 0: finished */
	struct answers answers; /* owned */
};

/* Prepares look-ups. The files are read at the first dns_refresh(); look-ups before that fail.
 * Returns 0, -ENOMEM, -EMFILE... */
int dns_new(struct dns **dns, struct error *e);

/* Ends all look-ups, with ANSWER_MISSING for missing answers, and frees dns, which may be NULL. */
void dns_free(struct dns *dns);

/* Returns the descriptor to poll for input. dns_free() closes it. */
int dns_fd(const struct dns *dns);

/*
 * Reads /etc/hosts and /etc/resolv.conf if they have changed since the last call; also at the first
 * call, and after a call that failed. Returns whether it has read them. If so, look-ups under way
 * have ended, with ANSWER_MISSING for missing answers.
 */
bool dns_refresh(struct dns *dns);

/* Starts a look-up. It may be finished when the function returns. */
void dns_start(struct dns *dns, const char *name, struct dns_lookup *lookup);

/* Takes answers that have come, and ends questions that have timed out. Never blocks. */
void dns_process(struct dns *dns);

/* Returns after how many milliseconds dns_process() must be called even without input; UINT64_MAX:
 * never. */
uint64_t dns_timeout_ms(const struct dns *dns);

#endif
