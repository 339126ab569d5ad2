// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns.h"

#include "../bpf/types.h"
#include "cookies.h"
#include "grab.h"
#include "iter.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <mntent.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C /* linux/sockios.h; the namespace of a socket */
#endif

/* Descriptors that namespaces leave to all else that a pass does. */
#define SPARE 32u

struct finding {
	struct netns_list *list;
	struct grabber grabber;
	struct cookies known; /* the inodes of those in the list */
	rlim_t most;	      /* so many descriptors may be open with theirs */
	uint32_t namespaces;  /* how many the host has; 0: not known */
};

static bool is_namespace(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

/*
 * Takes fd over, whatever happens; way says how to come by it again. Namespaces that are
 * there already are left out.
 */
static int list_add(struct finding *finding, int fd, const struct netns *way)
{
	struct netns_list *list = finding->list;
	_cleanup_close_ int owned = fd;
	struct netns *bigger, *ns;
	struct stat st;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return -errno;
	if (fd < 0 || !is_namespace(fd, &st))
		return 0; /* gone, or something else */
	if (cookies_have(&finding->known, st.st_ino))
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
	/* The kernel gives out the lowest number that is free. */
	if ((rlim_t)fd < finding->most)
		ns->fd = take_fd(&owned);
	else if (way->path && !(ns->path = strdup(way->path)))
		return -ENOMEM;
	list->n++;
	return cookies_add(&finding->known, st.st_ino);
}

static int add_path(struct finding *finding, char *path)
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
	if (cookies_have(&finding->known, task->netns))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", task->pid);
	return add_path(finding, path);
}

/* By a descriptor of a process; cookie: of the socket that it is to be, 0: any. */
static int add_socket(struct finding *finding, const struct owner *owner, uint64_t cookie)
{
	const struct netns way = {.pid = owner->pid, .socket = owner->fd};
	_cleanup_close_ int socket = grab_socket(&finding->grabber, owner, 1, cookie);

	return socket < 0 ? socket : list_add(finding, ioctl(socket, SIOCGSKNS), &way);
}

/* A socket in another namespace than its process's; those were met with the tasks. */
static int add_stray(const void *record, void *arg)
{
	const struct hf_owner *found = record;
	struct owner owner = {.pid = found->pid, .fd = found->fd};
	struct finding *finding = arg;
	int err;

	if (cookies_have(&finding->known, found->netns))
		return 0;
	err = add_socket(finding, &owner, found->cookie);
	if (err == -ENOENT || err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		return err == -ENOENT ? 0 : err;
	if (err && !finding->list->hidden) {
		finding->list->hidden = found->netns;
		finding->list->hidden_pid = found->pid;
		finding->list->hidden_errno = -err;
	}
	return 0;
}

/*
 * The same without an iterator over open files: the namespace of every socket
 * that /proc shows, of whatever kind it is.
 */
static int add_sockets(struct finding *finding, struct error *e)
{
	struct owners owners;
	int err = owners_find_by_inode(&owners, e);
	size_t i;

	for (i = 0; !err && i < owners.n; i++) {
		if (i > 0 && owners.list[i].key == owners.list[i - 1].key)
			continue; /* another descriptor of it */
		err = add_socket(finding, &owners.list[i], 0);
		if (err == -ENOENT || err == -EPERM)
			err = 0;
		else if (err)
			error_set(e, -err, "%s", strerror(-err));
	}
	owners_free(&owners);
	return err;
}

static int add_mounted(struct finding *finding)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	int err = 0;

	if (!mounts)
		return -errno;
	while (!err && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "nsfs") == 0)
			err = add_path(finding, mount->mnt_dir);
	}
	endmntent(mounts);
	return err;
}

static int find(struct finding *finding, const struct pins *pins, struct error *e)
{
	char own[] = "/proc/self/ns/net";
	int err;

	err = add_path(finding, own);
	if (!err)
		err = iter_run(pins, PIN_TASKS, sizeof(struct hf_task), add_task, finding, e);
	if (!err)
		err = add_mounted(finding);
	/* A look at every open file of the host, only where one may be hidden there. */
	if (!err && finding->namespaces && finding->list->n == finding->namespaces)
		return 0;
	if (!err && pins_has(pins, PIN_STRAYS))
		err = iter_run(pins, PIN_STRAYS, sizeof(struct hf_owner), add_stray, finding, e);
	else if (!err)
		err = add_sockets(finding, e);
	if (!err && finding->list->n == 0)
		err = error_set(e, ENOENT, "/proc/self/ns/net can't be opened (is /proc mounted?)");
	return err;
}

int netns_find(const struct pins *pins, struct netns_list *list, struct error *e)
{
	struct finding finding = {.list = list, .grabber = GRABBER_INIT, .most = RLIM_INFINITY};
	struct rlimit limit;
	int err;

	*list = (struct netns_list){0};
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		finding.most = limit.rlim_cur > SPARE ? limit.rlim_cur - SPARE : 0;
	err = find(&finding, pins, e);
	/* One process may refuse what another one grants. */
	if (list->hidden && cookies_have(&finding.known, list->hidden))
		list->hidden = 0;
	cookies_free(&finding.known);
	grabber_close(&finding.grabber);
	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		error_set(e, -err, "%s", strerror(-err));
	if (err) {
		error_prefix(e, err, "finding network namespaces");
		netns_list_free(list);
	}
	return err;
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

void netns_list_keep(struct netns_list *list, const struct numbers *inodes)
{
	size_t i, n = 0;

	for (i = 0; i < list->n; i++) {
		if (numbers_have(inodes, list->list[i].inode))
			list->list[n++] = list->list[i];
		else
			netns_free(&list->list[i]);
	}
	list->n = n;
}

/* What is behind the path or the descriptor now. Negative errno. */
static int open_by_way(const struct netns *ns)
{
	struct owner owner = {.pid = ns->pid, .fd = ns->socket};
	struct grabber grabber = GRABBER_INIT;
	int fd, socket;

	if (ns->path) {
		fd = open(ns->path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	socket = grab_socket(&grabber, &owner, 1, 0);
	fd = socket < 0 ? socket : ioctl(socket, SIOCGSKNS);
	if (socket >= 0 && fd < 0)
		fd = -errno;
	if (socket >= 0)
		close(socket);
	grabber_close(&grabber);
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
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return error_set(e, -fd, "can't open network namespace %ju: %s",
				 (uintmax_t)ns->inode, strerror(-fd));
	/* Process, path or descriptor may have come to mean something else. */
	if (fd < 0 || !is_namespace(fd, &st) || st.st_ino != ns->inode)
		return error_set(e, ENOENT, "network namespace %ju has gone, or its process",
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
