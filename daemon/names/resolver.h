/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * names/ finds the addresses of host names, and decides how long they count.
 * It calls base/ and rules/.
 */

/*
 * Looks up the host names that rules have as destinations, in the event loop, and again when the
 * TTL of their records runs out (at least 1 s, at most 1 h; 60 s for names in /etc/hosts). An
 * address that an answer lacks is kept for a while (names/known.h). After a look-up that fails, or
 * that says that the name doesn't exist, the last good addresses are kept. The first such look-up
 * in a row is logged, and the name is looked up again after 1 s, 2 s... 60 s. When /etc/hosts or
 * /etc/resolv.conf changes, all names are looked up again: within 60 s, or sooner with the next
 * look-up.
 */
#ifndef HOLDFAST_NAMES_RESOLVER_H
#define HOLDFAST_NAMES_RESOLVER_H

#include "base/log.h"
#include "rules/rules.h"

#include <systemd/sd-event.h>

struct resolver; /* opaque */

/*
 * Called when the addresses of some names have changed. It has to call resolver_fill() on the
 * configuration, and to put its rules in force. The event loop calls it once for all names that
 * change within a tenth of a second. If it fails (returns other than 0), it is called again after
 * 5 s.
 */
typedef int (*resolver_changed_fn)(void *arg);

/*
 * Has to call `each`, with `cookie`, for the peer of every held connection. It returns 0, or a
 * negative errno if it can't find them out; then no address is removed, and it is called again a
 * minute later.
 */
typedef int (*resolver_used_fn)(void *arg, int (*each)(const struct prefix *peer, void *cookie),
				void *cookie);

/* Creates a resolver. It keeps a reference to event; log must outlive it. Returns 0, -ENOMEM,
 * -EMFILE... */
int resolver_new(struct resolver **resolver, sd_event *event, const struct log *log,
		 resolver_changed_fn changed, resolver_used_fn used, void *arg, struct error *e);

/* Frees a resolver, which may be NULL. */
void resolver_free(struct resolver *resolver);

/*
 * Sets the names to look up: those of this configuration, each once (case doesn't matter), and no
 * others. A known name keeps its addresses, also one that was dropped less than an hour ago. A name
 * without addresses takes those that the configuration has (destination.resolved) as its last good
 * ones: they come from the rules of an earlier daemon, or from rules that come back into force. The
 * look-ups are started later, by the event loop or by resolver_wait(). Unless resolver_wait() is
 * called before the event loop runs, the event loop calls `changed` even if nothing has changed, so
 * that no change is missed after a reload that had to be undone. Returns 0; or -ENOMEM, and the
 * names are the same as before.
 */
int resolver_set_names(struct resolver *resolver, const struct config *config, struct error *e);

/*
 * Waits at most ms milliseconds until each name that has had no answer and no failure yet has one.
 * `changed` isn't called for what this learns: the caller calls resolver_fill() afterwards. Nothing
 * else of the event loop is dispatched. If time runs out, that is logged, and the event loop
 * continues the look-ups.
 */
void resolver_wait(struct resolver *resolver, unsigned ms);

/*
 * Copies the addresses of each name, sorted, to `resolved` of its destinations, which config_free()
 * frees. If none are known, `resolved` stays as it is. Returns 0; or -ENOMEM, and some destinations
 * have their old addresses.
 */
int resolver_fill(const struct resolver *resolver, struct config *config, struct error *e);

#endif
