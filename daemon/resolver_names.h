/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host names that a configuration has, each once, with what is known of them. */
#ifndef HOLDFAST_RESOLVER_NAMES_H
#define HOLDFAST_RESOLVER_NAMES_H

#include "resolver_dns.h"
#include "resolver_known.h"

struct name {
	struct name *next;
	char *text;		  /* owned */
	bool wanted;		  /* by the configuration */
	bool looking;		  /* lookup is under way */
	bool tried;		  /* a look-up has ended */
	uint64_t due_us;	  /* of the next look-up, on CLOCK_MONOTONIC */
	struct dns_lookup lookup; /* while looking */
	struct known known;
};

/*
 * Wants the names of this configuration and no others: adds what is missing, due
 * at once, and removes what isn't looked up at the moment. Names without any
 * addresses adopt those that the configuration has. -ENOMEM: as before.
 */
int names_set(struct name **names, const struct config *config, uint64_t now_us, struct error *e);

/* Removes names that nobody wants, but for those that are being looked up. */
void names_remove_unwanted(struct name **names);

/* Copies what is known to the configuration's destinations. -ENOMEM. */
int names_fill(struct name *names, struct config *config, struct error *e);

/* All of them; no look-up may be under way. */
void names_free(struct name **names);

#endif
