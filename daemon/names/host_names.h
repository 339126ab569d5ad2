/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host names of a configuration, each of them once, and what is known of them. */
#ifndef HOLDFAST_NAMES_HOST_NAMES_H
#define HOLDFAST_NAMES_HOST_NAMES_H

#include "names/dns.h"
#include "names/known.h"

/*
 * A name that a configuration drops is kept for as long as an address is (KNOWN_KEEP_US), since
 * another one may have it again. All that are kept have at most this many addresses together; of
 * more, those that were dropped first are removed.
 */
#define NAMES_KEEP_MOST 16384u

struct name {
	struct name *next;
	char *text;		  /* owned */
	bool wanted;		  /* the configuration has it */
	bool dropped;		  /* the configuration before didn't have it */
	uint64_t keep_us;	  /* CLOCK_MONOTONIC; not removed before, although not wanted */
	bool looking;		  /* a look-up is under way */
	bool tried;		  /* at least one look-up has ended with an answer or a failure */
	uint64_t due_us;	  /* CLOCK_MONOTONIC of the next look-up */
	struct dns_lookup lookup; /* valid while looking */
	struct known known;
};

/*
 * Changes the list to the names of this configuration. New names are due at once, and those that
 * were dropped before, which still have their addresses. Names that the configuration doesn't have
 * aren't wanted any more. A name without addresses adopts those that the configuration has for it.
 * Returns 0; or -ENOMEM, and the list has the same names as before.
 */
int names_set(struct name **names, const struct config *config, uint64_t now_us, struct error *e);

/* Removes names that are not wanted, except those that are being looked up, or still kept. */
void names_remove_unwanted(struct name **names, uint64_t now_us);

/* Copies the known addresses of each name to the configuration's destinations. Destinations whose
 * name has none stay as they are. Returns 0 or -ENOMEM. */
int names_fill(struct name *names, struct config *config, struct error *e);

/* Frees all names. No look-up may be under way. */
void names_free(struct name **names);

#endif
