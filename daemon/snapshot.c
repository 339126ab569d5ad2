// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot.h"

#include "cgroup.h"
#include "existing.h"
#include "holders.h"
#include "hook.h"
#include "stats.h"
#include "survey.h"
#include "text.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <time.h>

#define TRIES 5

/* So few held sockets are asked after one by one, where there are no others to be found. */
#define FEW 256

/* Connections that the application still has; those that it is closing aren't shown. */
#define STATES (1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT)

/* A cgroup id and its path, looked up once. */
struct cgroup_name {
	uint64_t id;
	char *path; /* escaped; NULL: it has been removed */
};

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

static int by_cookie(const void *a, const void *b)
{
	const struct hf_view *x = a, *y = b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

static void sort_views(struct array *views)
{
	if (views->n)
		qsort(views->list, views->n, sizeof(struct hf_view), by_cookie);
}

static const struct hf_view *find_view(const struct array *views, uint64_t cookie)
{
	struct hf_view key = {.cookie = cookie};

	return views->n ? bsearch(&key, views->list, views->n, sizeof(key), by_cookie) : NULL;
}

static int read_diag(const struct netns *ns, const struct port_filter *filter,
		     struct array *sockets, struct error *e)
{
	int err, tries = 0;

	do {
		_cleanup_close_ int fd = sockdiag_open_in(ns, e);

		if (fd < 0)
			return fd;
		sockets->n = 0;
		err = sockdiag_dump(fd, STATES, filter, true, add_diag, sockets, e);
	} while (err == -EINTR && ++tries < TRIES);
	return err;
}

/* The same of the held ones alone. -ENOENT: one has gone meanwhile, or can't be asked after so. */
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

	if (!(view->flags & HF_VIEW_MATCH))
		return 0; /* held by a rule that is gone; the daemon gives it back */
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
	socket->verdict = verdict_of(socket->rule, diag->state, &socket->now, diag->unanswered);
	return 0;
}

/*
 * Joins sock_diag's sockets of one namespace with the views of held ones; only
 * where some are left over is every socket of the namespace looked at, for
 * those that a rule matches though they have no record.
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

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int read_sockets(const struct plane *plane, struct snapshot *snapshot,
			const struct netns_list *namespaces, struct error *e)
{
	_cleanup_array_ struct array held = {0}, diags = {0};
	struct existing existing = EXISTING_INIT(plane);
	struct survey survey = {.unknown = true};
	struct port_filter filter;
	size_t i;
	int err;

	err = plane_iterate_all(plane, PIN_HELD, PIN_HELD_HERE, namespaces, sizeof(struct hf_view),
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

		snapshot->asked_ms = now_ms();
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

static const char *find_cgroup(struct snapshot *snapshot, int root_fd, const char *root,
			       uint64_t id)
{
	char path[PATH_MAX], escaped[TEXT_ESCAPED_MAX(PATH_MAX)];
	struct cgroup_name *bigger, *name;
	size_t i;

	for (i = snapshot->n_cgroups; i-- > 0;) {
		if (snapshot->cgroups[i].id == id)
			return snapshot->cgroups[i].path;
	}
	bigger = reallocarray(snapshot->cgroups, snapshot->n_cgroups + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	snapshot->cgroups = bigger;
	name = &bigger[snapshot->n_cgroups++];
	*name = (struct cgroup_name){.id = id};
	if (cgroup_path(root_fd, root, id, path, sizeof(path)) == 0)
		name->path = strdup(text_escape(escaped, sizeof(escaped), path, strlen(path)));
	return name->path;
}

static void add_cgroups(struct snapshot *snapshot)
{
	_cleanup_close_ int fd = -1;
	char root[PATH_MAX];
	size_t i;

	if (cgroup_find_root(root, sizeof(root), false, NULL) < 0)
		return;
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; fd >= 0 && i < snapshot->n; i++) {
		struct snapshot_socket *socket = &snapshot->sockets[i];

		if (socket->diag.cgroup_id)
			socket->cgroup = find_cgroup(snapshot, fd, root, socket->diag.cgroup_id);
	}
}

/* Among all open files of the host, where there isn't a shorter way to a few. */
static int find_owners(const struct plane *plane, const struct holders *holders,
		       struct snapshot *snapshot, struct error *e)
{
	uint64_t cookies[HF_WANTED_MAX];
	size_t i, n = 0;

	for (i = 0; i < snapshot->n && n < HF_WANTED_MAX; i++) {
		if (snapshot->sockets[i].diag.inode) /* else it waits in a listener's queue */
			cookies[n++] = snapshot->sockets[i].diag.cookie;
	}
	if (i == snapshot->n && holders_find(holders, cookies, n, &snapshot->owners) == 0)
		return 0;
	return owners_find(&plane->pins, &snapshot->owners, e);
}

static int add_owners(const struct plane *plane, const struct holders *holders,
		      struct snapshot *snapshot, struct error *e)
{
	size_t i;
	int err;

	err = snapshot->n ? find_owners(plane, holders, snapshot, e) : 0;
	if (err)
		return err;
	for (i = 0; i < snapshot->n; i++) {
		struct snapshot_socket *socket = &snapshot->sockets[i];

		socket->owners = owners_of(&snapshot->owners, socket->diag.cookie,
					   socket->diag.inode, &socket->n_owners);
	}
	return 0;
}

static int take(const struct plane *plane, bool staged, struct holders *holders,
		struct snapshot *snapshot, struct error *e)
{
	struct netns_list namespaces;
	struct stats stats;
	int err;

	err = plane_get_info(plane, &snapshot->info, e);
	if (!err)
		err = plane_get_config(plane, staged, &snapshot->config, &snapshot->generation, e);
	if (err)
		return err;
	err = plane_attached(plane, e);
	if (err < 0)
		return err;
	snapshot->attached = err;
	err = hook_attached(&plane->pins, PIN_GUARD, e);
	if (err < 0)
		return err;
	snapshot->guard = err;
	snapshot->adopts = snapshot->attached && support_adopts(plane);
	support_limits(plane, snapshot->limits);
	snapshot->daemon_pid = stats_daemon(plane);
	snapshot->period_s = stats_read(plane, &stats, NULL) ? 0 : stats.period_s;

	err = netns_find(&plane->pins, &namespaces, e);
	if (err)
		return err;
	err = read_sockets(plane, snapshot, &namespaces, e);
	netns_list_free(&namespaces);
	if (err)
		return err;
	if (snapshot->n)
		qsort(snapshot->sockets, snapshot->n, sizeof(*snapshot->sockets), by_rule_and_peer);
	if (!holders)
		return 0;
	add_cgroups(snapshot);
	return add_owners(plane, holders, snapshot, e);
}

/* One try. `whole`: with cgroups and owners. */
static int take_once(const struct plane *plane, bool staged, bool whole, struct snapshot *snapshot,
		     struct error *e)
{
	struct holders holders;
	int err;

	if (!whole)
		return take(plane, staged, NULL, snapshot, e);
	holders_begin(&holders, &plane->pins);
	err = take(plane, staged, &holders, snapshot, e);
	holders_end(&holders);
	return err;
}

static int take_steady(const struct plane *plane, bool whole, struct snapshot *snapshot,
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

int snapshot_take(const struct plane *plane, struct snapshot *snapshot, struct error *e)
{
	return take_steady(plane, true, snapshot, e);
}

int snapshot_take_sockets(const struct plane *plane, struct snapshot *snapshot, struct error *e)
{
	return take_steady(plane, false, snapshot, e);
}

void snapshot_free(struct snapshot *snapshot)
{
	size_t i;

	config_free(&snapshot->config);
	owners_free(&snapshot->owners);
	for (i = 0; i < snapshot->n_cgroups; i++)
		free(snapshot->cgroups[i].path);
	free(snapshot->cgroups);
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
	/* What was received since the timer was armed puts the probe off: the timer
	 * fires, sees that, and arms itself again (tcp_keepalive_timer()). */
	idle_out = (int64_t)socket->now.time_s * 1000 - socket->diag.idle_ms;
	return idle_out > due ? idle_out : due;
}
