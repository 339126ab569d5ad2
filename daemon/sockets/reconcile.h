/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sockets/ knows what happens to sockets: it finds, holds, probes and releases them, and tells how
 * connections end. It calls sockets/old/, host/, kernel/ and what is below them.
 */

/*
 * Makes the sockets of the network namespaces what the rules say. A reconcile pass has the
 * kernel's sweep look at every socket of a namespace. If the sweep changed any, and once after the
 * start, the pass then compares the sockets that should be held (sock_diag) with those that are
 * held as they should be (their records), to find sockets that the sweep has missed: before 6.17
 * a TCP iterator can skip sockets while the table changes. Where the sweep runs in user space,
 * which takes long, the comparison comes first.
 */
#ifndef HOLDFAST_SOCKETS_RECONCILE_H
#define HOLDFAST_SOCKETS_RECONCILE_H

#include "base/log.h"
#include "kernel/data_plane.h"
#include "rules/rules.h"
#include "sockets/pass_result.h"

struct reconcile; /* opaque */

/*
 * Creates the state that passes share; reconcile_free() frees it. log and plane must outlive it.
 * NULL: out of memory.
 */
struct reconcile *reconcile_new(const struct log *log, const struct data_plane *plane);
void reconcile_free(struct reconcile *reconcile);

/*
 * Tells reconcile which rules rules_map_put() puts in force. Returns 0, or -ENOMEM or -E2BIG, and
 * then the old rules stay.
 */
int reconcile_set_rules(struct reconcile *reconcile, const struct config *config, struct error *e);

/*
 * Makes a full pass, over all namespaces. Returns 0, -ECANCELED if it made way for a signal, or
 * another negative errno.
 */
int reconcile_all(struct reconcile *reconcile, struct reconcile_result *result, struct error *e);

/*
 * Makes a pass over the namespaces that are new since the last pass, or in which sockets couldn't
 * be held then. Returns as reconcile_all() does.
 */
int reconcile_unseen(struct reconcile *reconcile, struct reconcile_result *result, struct error *e);

#endif
