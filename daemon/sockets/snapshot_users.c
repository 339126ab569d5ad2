// SPDX-License-Identifier: GPL-2.0-or-later
/* Finds the processes and cgroups that use the sockets of a snapshot. */
#include "base/text.h"
#include "base/util.h"
#include "kernel/cgroup.h"
#include "sockets/snapshot.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* The path of a cgroup, looked up once. */
struct cgroup_name {
	uint64_t id;
	char *path; /* escaped; NULL: it has been removed */
};

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

void snapshot_add_cgroups(struct snapshot *snapshot)
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

/* Finds the owners by an owner search if the sockets are few, else among all open files. */
static int find_owners(const struct data_plane *plane, const struct owner_search *holders,
		       struct snapshot *snapshot, struct error *e)
{
	uint64_t cookies[HF_WANTED_MAX];
	size_t i, n = 0;

	for (i = 0; i < snapshot->n && n < HF_WANTED_MAX; i++) {
		if (snapshot->sockets[i].diag.inode) /* one without waits in a listener's queue */
			cookies[n++] = snapshot->sockets[i].diag.cookie;
	}
	if (i == snapshot->n && owner_search_find(holders, cookies, n, &snapshot->owners) == 0)
		return 0;
	return owners_find(&plane->pins, &snapshot->owners, e);
}

int snapshot_add_owners(const struct data_plane *plane, const struct owner_search *holders,
			struct snapshot *snapshot, struct error *e)
{
	int err = snapshot->n ? find_owners(plane, holders, snapshot, e) : 0;

	if (!err)
		snapshot_link_owners(snapshot);
	return err;
}

void snapshot_link_owners(struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; i < snapshot->n; i++) {
		struct snapshot_socket *socket = &snapshot->sockets[i];

		socket->owners = owners_of(&snapshot->owners, socket->diag.cookie,
					   socket->diag.inode, &socket->n_owners);
	}
}

void snapshot_free_cgroups(struct snapshot *snapshot)
{
	size_t i;

	for (i = 0; i < snapshot->n_cgroups; i++)
		free(snapshot->cgroups[i].path);
	free(snapshot->cgroups);
}
