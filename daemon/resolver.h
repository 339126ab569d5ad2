/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The addresses of the host names that rules have as destinations: looked up in
 * the event loop, and again as the records' TTL runs out (at least 1 s, at most
 * 1 h; 60 s for what /etc/hosts says). What an answer lacks stays the name's for a
 * while (resolver_known.h). A look-up that fails, or says that the
 * name is gone, keeps the last good addresses, is told once, and is tried again
 * after 1 s, 2 s... 60 s. When /etc/hosts or /etc/resolv.conf changes, all names
 * are looked up again: within 60 s, or sooner with the next look-up.
 */
#ifndef HOLDFAST_RESOLVER_H
#define HOLDFAST_RESOLVER_H

#include "log.h"
#include "rules.h"

#include <systemd/sd-event.h>

struct resolver; /* opaque */

/*
 * The addresses of some names are others now: resolver_fill() the configuration,
 * and put its rules in force. Called from the event loop, once for all names
 * that change within a tenth of a second; again a while later where it fails.
 */
typedef int (*resolver_changed_fn)(void *arg);

/*
 * Calls `each` for the peer of every held connection. Negative errno: that can't be found out,
 * and is asked again a minute later.
 */
typedef int (*resolver_used_fn)(void *arg, int (*each)(const struct prefix *peer, void *cookie),
				void *cookie);

/* event (a reference is kept) and log must outlive it. -ENOMEM, -EMFILE... */
int resolver_new(struct resolver **resolver, sd_event *event, const struct log *log,
		 resolver_changed_fn changed, resolver_used_fn used, void *arg, struct error *e);

/* NULL is fine. */
void resolver_free(struct resolver *resolver);

/*
 * From now on the names of this configuration are looked up, each once (case
 * doesn't count), and no others. A name that is known keeps its addresses; for
 * one that isn't, those that the configuration has already (destination.resolved:
 * of an earlier daemon's rules, or of rules that come back into force) are the
 * last good ones. Nothing is asked yet: the event loop does, or resolver_wait().
 * Unless resolver_wait() comes before the event loop, a report follows in any
 * case, so that after a reload that had to be undone nothing is missed.
 * -ENOMEM: the names are as before.
 */
int resolver_set_names(struct resolver *resolver, const struct config *config, struct error *e);

/*
 * Waits at most ms milliseconds for the first answer, or failure, of each name
 * that has been asked for neither before. What it learns isn't reported by the
 * callback: fill the configuration after it. Dispatches nothing else of the event
 * loop. Where time runs out, that is logged, and the event loop goes on.
 */
void resolver_wait(struct resolver *resolver, unsigned ms);

/*
 * Copies the addresses of each name, sorted, to its destinations' `resolved`,
 * which config_free() frees. Where none are known, `resolved` stays as it is.
 * -ENOMEM: some destinations have theirs as before.
 */
int resolver_fill(const struct resolver *resolver, struct config *config, struct error *e);

#endif
