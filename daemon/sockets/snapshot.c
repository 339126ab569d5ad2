// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/snapshot.h"

#include "base/clock.h"
#include "base/util.h"
#include "host/iterate.h"
#include "kernel/hook.h"
#include "kernel/rules_map.h"
#include "sockets/daemon_stats.h"
#include "sockets/existing.h"
#include "sockets/survey.h"
#include "sockets/windows.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#define TRIES 5

/* Up to this many held sockets sock_diag is asked for each one, instead of for all sockets, in
 * namespaces where the survey finds no others. */
#define FEW 256

/* The TCP states that are shown: those in which the application hasn't closed the connection. */
#define STATES (1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT)

/* A growing array of any kind of records. */
struct array {
	void *list;
	size_t n, room;
};

static int array_add(struct array *array, const void *record, size_t size)
{
	if (array_grow(&array->list, array->n, &array->room, size))
		return -ENOMEM;
	memcpy((char *)array->list + array->n * size, record, size);
	array->n++;
	return 0;
}

static void cleanup_array(struct array *array)
{
	free(array->list);
}

#define _cleanup_array_ __attribute__((cleanup(cleanup_array)))

static int add_view(const void *record, void *arg)
{
	return array_add(arg, record, sizeof(struct hf_view));
}

static int add_diag(const struct diag_socket *socket, void *arg)
{
	return array_add(arg, socket, sizeof(*socket));
}

static void sort_views(struct array *views)
{
	_Static_assert(offsetof(struct hf_view, cookie) == 0, "it is what they are sorted by");

	sort_by_u64(views->list, views->n, sizeof(struct hf_view));
}

static const struct hf_view *find_view(const struct array *views, uint64_t cookie)
{
	return sorted_find(views->list, views->n, sizeof(struct hf_view), cookie);
}

static void empty_array(void *arg)
{
	struct array *array = arg;

	array->n = 0;
}

static int read_diag(const struct netns *ns, const struct port_filter *filter,
		     struct array *sockets, struct error *e)
{
	const struct diag_dump all = {.states = STATES,
				      .filter = filter,
				      .info = true,
				      .fn = add_diag,
				      .restart = empty_array,
				      .arg = sockets};

	return sockdiag_read(ns, &all, e);
}

/*
 * Reads the held sockets of the namespace, one by one. -ENOENT: one has gone meanwhile, or is
 * bound to a device, and only a dump shows it.
 */
static int read_held(const struct netns *ns, const struct array *held, struct array *sockets)
{
	const struct hf_view *view = held->list;
	_cleanup_close_ int fd = -1;
	struct error ignored;
	size_t i;
	int err = 0;

	sockets->n = 0;
	for (i = 0; !err && i < held->n; i++, view++) {
		const struct diag_ends ends = {view->cookie,	view->family, view->local_port,
					       view->peer_port, view->local,  view->peer};

		if (view->netns != ns->inode || !(1u << view->state & STATES))
			continue;
		if (fd < 0)
			fd = sockdiag_open_in(ns, &ignored);
		err = fd < 0 ? fd : sockdiag_find(fd, &ends, add_diag, sockets, &ignored);
	}
	return err;
}

int snapshot_add(struct snapshot *snapshot, const struct diag_socket *diag,
		 const struct hf_view *view, uint64_t netns)
{
	struct snapshot_socket *socket;
	struct hf_keepalive judged;

	if (!(view->flags & HF_VIEW_MATCH))
		return 0; /* the rule that held it is gone; the daemon gives it back */
	if (view->generation != snapshot->generation || view->rule >= snapshot->config.n_rules)
		return -ESTALE;
	if (array_grow(&snapshot->sockets, snapshot->n, &snapshot->room, sizeof(*socket)))
		return -ENOMEM;
	socket = &snapshot->sockets[snapshot->n++];
	*socket = (struct snapshot_socket){.diag = *diag, .netns = netns};
	socket->received_ms = snapshot->asked_ms - diag->idle_ms;
	socket->now = view->now;
	socket->rule = &snapshot->config.rules[view->rule];
	socket->side = view->side;
	judged = view->now;
	if (view->flags & HF_VIEW_PROBED)
		judged.time_s = socket->rule->time_s; /* which it has again in a moment */
	socket->verdict = view->flags & HF_VIEW_LEFT_ALONE ? VERDICT_EXEMPT
							   : verdict_of(socket->rule, diag->state,
									&judged, diag->unanswered);
	return 0;
}

/*
 * Joins sock_diag's sockets of one namespace with the views of held sockets. If some have no such
 * view, reads the views of all sockets of the namespace that a rule matches, once.
 */
static int join(struct existing *existing, struct snapshot *snapshot, const struct netns *ns,
		const struct array *held, const struct array *diags, struct error *e)
{
	_cleanup_array_ struct array matched = {0};
	const struct diag_socket *diag = diags->list;
	const struct hf_view *view;
	bool looked = false;
	size_t i;
	int err;

	for (i = 0; i < diags->n; i++) {
		view = find_view(held, diag[i].cookie);
		if (!view && !looked) {
			err = existing_matched(existing, ns, add_view, &matched, e);
			if (err)
				return err;
			sort_views(&matched);
			looked = true;
		}
		if (!view)
			view = find_view(&matched, diag[i].cookie);
		if (!view)
			continue;
		err = snapshot_add(snapshot, &diag[i], view, ns->inode);
		if (err == -ENOMEM)
			error_set(e, ENOMEM, "out of memory");
		if (err)
			return err;
	}
	return 0;
}

static int read_sockets(const struct data_plane *plane, struct snapshot *snapshot,
			const struct netns_list *namespaces, struct error *e)
{
	_cleanup_array_ struct array held = {0}, diags = {0};
	struct existing existing = EXISTING_INIT(plane);
	struct survey survey = {.unknown = true};
	struct port_filter filter;
	size_t i;
	int err;

	err = iterate_all(plane, PIN_HELD, PIN_HELD_HERE, namespaces, sizeof(struct hf_view),
			  add_view, &held, e);
	if (err)
		return err;
	sort_views(&held);
	if (held.n <= FEW)
		survey_take(plane, namespaces, &survey);
	err = port_filter_init(&filter, &snapshot->config);
	if (err)
		error_set(e, -err, "out of memory");
	for (i = 0; !err && i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];

		snapshot->asked_ms = monotonic_ms();
		if (survey_has_unheld(&survey, ns->inode) || read_held(ns, &held, &diags))
			err = read_diag(ns, &filter, &diags, e);
		if (!err)
			err = join(&existing, snapshot, ns, &held, &diags, e);
	}
	survey_free(&survey);
	existing_free(&existing);
	port_filter_free(&filter);
	return err;
}

static int by_rule_and_peer(const void *a, const void *b)
{
	const struct snapshot_socket *x = a, *y = b;
	int order;

	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	if (x->diag.family != y->diag.family)
		return x->diag.family < y->diag.family ? -1 : 1;
	order = memcmp(x->diag.peer, y->diag.peer, sizeof(x->diag.peer));
	if (order)
		return order;
	if (x->diag.peer_port != y->diag.peer_port)
		return x->diag.peer_port < y->diag.peer_port ? -1 : 1;
	if (x->diag.local_port != y->diag.local_port)
		return x->diag.local_port < y->diag.local_port ? -1 : 1;
	return x->diag.cookie < y->diag.cookie ? -1 : x->diag.cookie > y->diag.cookie;
}

void snapshot_sort(struct snapshot *snapshot)
{
	if (snapshot->n)
		qsort(snapshot->sockets, snapshot->n, sizeof(*snapshot->sockets), by_rule_and_peer);
}

int snapshot_read_windows(const struct data_plane *plane, struct snapshot *snapshot,
			  struct error *e)
{
	_cleanup_close_ int map = plane ? windows_map(plane) : -1;
	size_t i;

	snapshot->windows = calloc(snapshot->config.n_rules + 1, sizeof(*snapshot->windows));
	snapshot->hosts = calloc(snapshot->config.n_rules + 1, sizeof(*snapshot->hosts));
	if (!snapshot->windows || !snapshot->hosts)
		return error_set(e, ENOMEM, "out of memory");
	for (i = 0; map >= 0 && i < snapshot->config.n_rules; i++)
		windows_read(map, &snapshot->config.rules[i], &snapshot->windows[i],
			     &snapshot->hosts[i]);
	return 0;
}

static int take(const struct data_plane *plane, bool staged, struct owner_search *holders,
		struct snapshot *snapshot, struct error *e)
{
	struct netns_list namespaces;
	struct daemon_stats stats;
	int err;

	err = data_plane_get_info(plane, &snapshot->info, e);
	if (!err)
		err = rules_map_config(plane, staged, &snapshot->config, &snapshot->generation, e);
	if (err)
		return err;
	err = snapshot_read_windows(plane, snapshot, e);
	if (!err)
		err = data_plane_attached(plane, e);
	if (err < 0)
		return err;
	snapshot->attached = err;
	err = hook_attached(&plane->pins, PIN_GUARD, e);
	if (err < 0)
		return err;
	snapshot->guard = err;
	snapshot->adopts = snapshot->attached && support_adopts(plane);
	support_limits(plane, snapshot->limits);
	snapshot->daemon_pid = daemon_stats_daemon(plane);
	snapshot->period_s = daemon_stats_read(plane, &stats, NULL) ? 0 : stats.period_s;

	err = netns_find(&plane->pins, &namespaces, e);
	if (err)
		return err;
	err = read_sockets(plane, snapshot, &namespaces, e);
	netns_list_free(&namespaces);
	if (err)
		return err;
	snapshot_sort(snapshot);
	if (!holders)
		return 0;
	snapshot_add_cgroups(snapshot);
	return snapshot_add_owners(plane, holders, snapshot, e);
}

/* Makes one try, with cgroups and owners if `whole`. */
static int take_once(const struct data_plane *plane, bool staged, bool whole,
		     struct snapshot *snapshot, struct error *e)
{
	struct owner_search holders;
	int err;

	if (!whole)
		return take(plane, staged, NULL, snapshot, e);
	owner_search_begin(&holders, &plane->pins);
	err = take(plane, staged, &holders, snapshot, e);
	owner_search_end(&holders);
	return err;
}

static int take_steady(const struct data_plane *plane, bool whole, struct snapshot *snapshot,
		       struct error *e)
{
	int err, tries;

	for (tries = 0; tries < TRIES; tries++) {
		*snapshot = (struct snapshot){0};
		bool staged = tries % 2 && pins_has(&plane->pins, PIN_CONFIG_STAGED);

		err = take_once(plane, staged, whole, snapshot, e);
		if (!err)
			return 0;
		snapshot_free(snapshot);
		if (err != -ESTALE && !(staged && err == -ENOENT))
			return err;
	}
	return error_set(e, EAGAIN, "the rules kept changing while they were read; try again");
}

int snapshot_take(const struct data_plane *plane, struct snapshot *snapshot, struct error *e)
{
	return take_steady(plane, true, snapshot, e);
}

int snapshot_take_sockets(const struct data_plane *plane, struct snapshot *snapshot,
			  struct error *e)
{
	return take_steady(plane, false, snapshot, e);
}

void snapshot_free(struct snapshot *snapshot)
{
	config_free(&snapshot->config);
	free(snapshot->windows);
	free(snapshot->hosts);
	owners_free(&snapshot->owners);
	snapshot_free_cgroups(snapshot);
	free(snapshot->sockets);
	*snapshot = (struct snapshot){0};
}

int64_t snapshot_next_probe_ms(const struct snapshot_socket *socket)
{
	int64_t due = socket->diag.expires_ms;
	int64_t idle_out;

	if (!socket->now.on || socket->diag.timer != 2)
		return -1;
	if (socket->diag.unanswered)
		return due;
	/* A packet that came since the timer was armed puts the probe off: the timer fires, sees
	 * that the socket hasn't been idle for long enough, and arms itself again
	 * (tcp_keepalive_timer()). */
	idle_out = (int64_t)socket->now.time_s * 1000 - socket->diag.idle_ms;
	return idle_out > due ? idle_out : due;
}
