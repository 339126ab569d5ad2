/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Foresees the bound that this host's own agers set for `window = auto`. */
#ifndef HOLDFAST_SOCKETS_PREVIEW_HOST_H
#define HOLDFAST_SOCKETS_PREVIEW_HOST_H

#include "host/netns.h"
#include "sockets/snapshot.h"

/*
 * Asks after how long this host itself forgets the connections of the snapshot, as the daemon does
 * (agers.h). Fills in snapshot->hosts, and shortens the times of rules with `window = auto` in
 * snapshot->config. Returns 0, or a negative errno if something was left out.
 */
int preview_ask_host(struct snapshot *snapshot, const struct netns_list *namespaces,
		     struct error *e);

#endif
