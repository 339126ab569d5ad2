// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/netns.h"

#include "base/util.h"
#include "bpf/types.h"
#include "host/netns_finding.h"
#include "kernel/iter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <mntent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C /* linux/sockios.h; opens the network namespace of a socket */
#endif

/* How many descriptors the namespaces leave to the rest of a pass. */
#define SPARE 32u

static bool is_namespace(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

/*
 * Adds the namespace of fd to the list, unless it is in there or fd is something else. Takes fd
 * over, even on failure. `way` says how to open the namespace again.
 */
static int list_add(struct finding *finding, int fd, const struct netns *way)
{
	struct netns_list *list = finding->list;
	_cleanup_close_ int owned = fd;
	struct netns *bigger, *ns;
	struct stat st;

	if (fd < 0 && error_is_shortage(-errno))
		return -errno;
	if (fd < 0 || !is_namespace(fd, &st))
		return 0; /* gone, or something else */
	if (cookie_set_have(&finding->known, st.st_ino))
		return 0;
	bigger = reallocarray(list->list, list->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	list->list = bigger;
	ns = &list->list[list->n];
	*ns = *way;
	ns->inode = st.st_ino;
	ns->path = NULL;
	ns->fd = -1;
	/* The kernel gives out the lowest free descriptor, so fd tells how many are open. */
	if ((rlim_t)fd < finding->most)
		ns->fd = take_fd(&owned);
	else if (way->path && !(ns->path = strdup(way->path)))
		return -ENOMEM;
	list->n++;
	return cookie_set_add(&finding->known, st.st_ino);
}

int finding_add_path(struct finding *finding, char *path)
{
	const struct netns way = {.path = path};

	return list_add(finding, open(path, O_RDONLY | O_CLOEXEC), &way);
}

static int add_task(const void *record, void *arg)
{
	const struct hf_task *task = record;
	struct finding *finding = arg;
	char path[64];

	if (task->namespaces)
		finding->namespaces = task->namespaces;
	if (cookie_set_have(&finding->known, task->netns))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", task->pid);
	return finding_add_path(finding, path);
}

int finding_add_socket(struct finding *finding, const struct owner *owner, uint64_t cookie)
{
	const struct netns way = {.pid = owner->pid, .socket = owner->fd};
	_cleanup_close_ int socket = pidfd_socket_get(&finding->helper, owner, 1, cookie);

	return socket < 0 ? socket : list_add(finding, ioctl(socket, SIOCGSKNS), &way);
}

/* Adds the namespace of a socket whose process is in another namespace. */
static int add_stray(const void *record, void *arg)
{
	const struct hf_owner *found = record;
	struct owner owner = {.pid = found->pid, .fd = found->fd};
	struct finding *finding = arg;
	int err;

	if (cookie_set_have(&finding->known, found->netns))
		return 0;
	err = finding_add_socket(finding, &owner, found->cookie);
	if (err == -ENOENT || error_is_shortage(err))
		return err == -ENOENT ? 0 : err;
	if (err && !finding->list->hidden) {
		finding->list->hidden = found->netns;
		finding->list->hidden_pid = found->pid;
		finding->list->hidden_errno = -err;
	}
	return 0;
}

/*
 * Adds the namespaces of all sockets that /proc shows, of any kind. Used where there is no
 * iterator over open files.
 */
static int add_sockets(struct finding *finding, struct error *e)
{
	struct owners owners;
	int err = owners_find_by_inode(&owners, e);
	size_t i;

	for (i = 0; !err && i < owners.n; i++) {
		if (i > 0 && owners.list[i].key == owners.list[i - 1].key)
			continue; /* another descriptor of the same socket */
		err = finding_add_socket(finding, &owners.list[i], 0);
		if (err == -ENOENT || err == -EPERM)
			err = 0;
		else if (err)
			error_set(e, -err, "%s", strerror(-err));
	}
	owners_free(&owners);
	return err;
}

int finding_add_mounted(struct finding *finding)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	int err = 0;

	if (!mounts)
		return -errno;
	while (!err && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "nsfs") == 0)
			err = finding_add_path(finding, mount->mnt_dir);
	}
	endmntent(mounts);
	return err;
}

int finding_add_own(struct finding *finding)
{
	char own[] = "/proc/self/ns/net";

	return finding_add_path(finding, own);
}

static int find(struct finding *finding, const struct pins *pins, struct error *e)
{
	int err;

	err = finding_add_own(finding);
	if (!err)
		err = iter_run(pins, PIN_TASKS, sizeof(struct hf_task), add_task, finding, e);
	if (!err)
		err = finding_add_mounted(finding);
	/* Looking at every open file of the host is only needed if a namespace is missing. */
	if (!err && finding->namespaces && finding->list->n == finding->namespaces)
		return 0;
	if (!err && pins_has(pins, PIN_STRAYS))
		err = iter_run(pins, PIN_STRAYS, sizeof(struct hf_owner), add_stray, finding, e);
	else if (!err)
		err = add_sockets(finding, e);
	return err;
}

int finding_begin(struct finding *finding, struct netns_list *list)
{
	struct rlimit limit;
	int err = 0;
	size_t i;

	*finding =
		(struct finding){.list = list, .helper = PIDFD_HELPER_INIT, .most = RLIM_INFINITY};
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		finding->most = limit.rlim_cur > SPARE ? limit.rlim_cur - SPARE : 0;
	for (i = 0; !err && i < list->n; i++)
		err = cookie_set_add(&finding->known, list->list[i].inode);
	return err;
}

int finding_end(struct finding *finding, int err, struct error *e)
{
	struct netns_list *list = finding->list;

	if (!err && list->n == 0)
		err = error_set(e, ENOENT, "/proc/self/ns/net can't be opened (is /proc mounted?)");
	/* A namespace that one process refused may have been opened through another one. */
	if (list->hidden && cookie_set_have(&finding->known, list->hidden))
		list->hidden = 0;
	cookie_set_free(&finding->known);
	pidfd_helper_close(&finding->helper);
	if (error_is_shortage(err))
		error_set(e, -err, "%s", strerror(-err));
	if (err) {
		error_prefix(e, err, "finding network namespaces");
		netns_list_free(list);
	}
	return err;
}

int netns_find(const struct pins *pins, struct netns_list *list, struct error *e)
{
	struct finding finding;
	int err;

	*list = (struct netns_list){0};
	err = finding_begin(&finding, list);
	if (!err)
		err = find(&finding, pins, e);
	return finding_end(&finding, err, e);
}

void netns_free(struct netns *ns)
{
	if (ns->fd >= 0)
		close(ns->fd);
	free(ns->path);
	*ns = (struct netns){.fd = -1};
}

void netns_list_free(struct netns_list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		netns_free(&list->list[i]);
	free(list->list);
	*list = (struct netns_list){0};
}

void netns_list_keep(struct netns_list *list, const struct u64_set *inodes)
{
	size_t i, n = 0;

	for (i = 0; i < list->n; i++) {
		if (u64_set_have(inodes, list->list[i].inode))
			list->list[n++] = list->list[i];
		else
			netns_free(&list->list[i]);
	}
	list->n = n;
}

/* Opens what the path or the descriptor refers to now. Returns a descriptor or negative errno. */
static int open_by_way(const struct netns *ns)
{
	struct owner owner = {.pid = ns->pid, .fd = ns->socket};
	struct pidfd_helper helper = PIDFD_HELPER_INIT;
	int fd, socket;

	if (ns->path) {
		fd = open(ns->path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	socket = pidfd_socket_get(&helper, &owner, 1, 0);
	fd = socket < 0 ? socket : ioctl(socket, SIOCGSKNS);
	if (socket >= 0 && fd < 0)
		fd = -errno;
	if (socket >= 0)
		close(socket);
	pidfd_helper_close(&helper);
	return fd;
}

int netns_open(const struct netns *ns, int *owned, struct error *e)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	*owned = -1;
	if (ns->fd >= 0)
		return ns->fd;
	fd = open_by_way(ns);
	if (error_is_shortage(fd))
		return error_set(e, -fd, "can't open network namespace %ju: %s",
				 (uintmax_t)ns->inode, strerror(-fd));
	/* The process, path or descriptor may refer to something else by now. */
	if (fd < 0 || !is_namespace(fd, &st) || st.st_ino != ns->inode)
		return error_set(e, ENOENT,
				 "network namespace %ju has gone, or its last known process has",
				 (uintmax_t)ns->inode);
	*owned = take_fd(&fd);
	return *owned;
}

int netns_call(const struct netns *ns, int (*fn)(void *arg), void *arg, struct error *e)
{
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int owned = -1;
	struct stat st;
	int fd, ret;

	if (home < 0 || fstat(home, &st) < 0)
		return error_set(e, errno, "/proc/self/ns/net: %s", strerror(errno));
	if (st.st_ino == ns->inode)
		return fn(arg);
	fd = netns_open(ns, &owned, e);
	if (fd < 0)
		return fd;
	if (setns(fd, CLONE_NEWNET) < 0)
		return error_set(e, errno, "can't enter network namespace %ju: %s",
				 (uintmax_t)ns->inode, strerror(errno));
	ret = fn(arg);
	if (setns(home, CLONE_NEWNET) < 0) {
		fprintf(stderr, "holdfast: can't return from network namespace %ju: %s\n",
			(uintmax_t)ns->inode, strerror(errno));
		abort();
	}
	return ret;
}
