// SPDX-License-Identifier: GPL-2.0-or-later
/* Probes the held connections whose path has moved. */
#include "daemon.h"

#include "sockets/probe.h"

#include <errno.h>
#include <string.h>

/* How long it takes until every socket that is being probed has sent its probe. */
#define PROBED_US (1500u * 1000u)

void daemon_end_probes(struct daemon *daemon)
{
	struct netns_list namespaces;
	struct error e = {0};
	int err;

	if (!daemon->probing.n)
		return;
	err = netns_find(&daemon->plane.pins, &namespaces, &e);
	if (!err) {
		netns_list_keep(&namespaces, &daemon->probing.namespaces);
		err = probe_end(&daemon->plane, &namespaces, daemon->probing.cookies,
				daemon->probing.n, probe_until(), &e);
		netns_list_free(&namespaces);
	}
	if (err) /* the next reconcile pass puts the time back */
		log_warning(&daemon->log, "after probing: %s", e.text);
	probe_keeper_stop(&daemon->keeper, true);
	moved_sockets_free(&daemon->probing);
}

/*
 * Starts a keeper for all sockets that are being probed, in place of the one that doesn't know the
 * latest of them. The probes are begun without one, too: the next pass ends them.
 */
static void keep(struct daemon *daemon, const struct netns_list *namespaces)
{
	struct probe_keeper keeper;
	int err = probe_keeper_start(&keeper, &daemon->plane, namespaces, daemon->probing.cookies,
				     daemon->probing.n);

	if (err) {
		log_warning(&daemon->log, "probing: can't start a process: %s", strerror(-err));
		return;
	}
	probe_keeper_stop(&daemon->keeper, true);
	daemon->keeper = keeper;
}

/* Begins to probe these sockets. Removes the other namespaces from the list. */
static int probe(struct daemon *daemon, struct netns_list *namespaces, struct moved_sockets *moved,
		 struct error *e)
{
	int err;

	windows_moved(daemon->windows, &daemon->config, &moved->rules);
	if (moved->n > moved->guessed)
		log_info(&daemon->log, "the path of %zu held connection%s has moved: probing",
			 moved->n - moved->guessed, moved->n - moved->guessed == 1 ? "" : "s");
	if (moved->guessed)
		log_info(&daemon->log, "the path of %zu held connection%s may have moved: probing",
			 moved->guessed, moved->guessed == 1 ? "" : "s");
	if (moved_sockets_add(&daemon->probing, moved))
		return error_set(e, ENOMEM, "out of memory");
	netns_list_keep(namespaces, &daemon->probing.namespaces);
	keep(daemon, namespaces);
	netns_list_keep(namespaces, &moved->namespaces);
	err = probe_begin(&daemon->plane, namespaces, moved->cookies, moved->n, NULL, NULL, e);
	sd_event_source_set_time_relative(daemon->probed, PROBED_US);
	sd_event_source_set_enabled(daemon->probed, SD_EVENT_ONESHOT);
	return err;
}

void daemon_probe_moved(struct daemon *daemon, bool lost)
{
	struct moved_sockets moved = {0};
	struct netns_list namespaces;
	struct rtnl_changes changes = {.lost = lost};
	struct error e = {0};
	int err;

	changes.list = rtnl_changes(daemon->rtnl, &changes.n);
	err = netns_find(&daemon->plane.pins, &namespaces, &e);
	if (!err) {
		err = route_changes_find(&daemon->plane, &namespaces, &changes, &daemon->ways,
					 &moved, &e);
		if (!err && moved.n)
			err = probe(daemon, &namespaces, &moved, &e);
		moved_sockets_free(&moved);
		netns_list_free(&namespaces);
	}
	if (err)
		log_warning(&daemon->log, "probing after a change of routes: %s", e.text);
}
