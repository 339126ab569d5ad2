// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns.h"

#include "../bpf/types.h"
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
#include <sys/stat.h>

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C /* linux/sockios.h; the namespace of a socket */
#endif

static bool list_has(const struct netns_list *list, uint64_t inode)
{
	size_t i;

	for (i = 0; i < list->n; i++) {
		if (list->list[i].inode == inode)
			return true;
	}
	return false;
}

/* Takes fd over, whatever happens. Namespaces that are there already are left out. */
static int list_add(struct netns_list *list, int fd)
{
	_cleanup_close_ int owned = fd;
	struct netns *bigger;
	struct stat st;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return -errno;
	if (fd < 0 || fstat(fd, &st) < 0 || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
		return 0; /* gone, or something else */
	if (list_has(list, st.st_ino))
		return 0;
	bigger = reallocarray(list->list, list->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	list->list = bigger;
	list->list[list->n].inode = st.st_ino;
	list->list[list->n].fd = take_fd(&owned);
	list->n++;
	return 0;
}

/* Namespaces by their tasks. */
struct by_task {
	struct netns_list *list;
	uint32_t namespaces; /* how many there are; 0: not known */
};

static int add_task(const void *record, void *arg)
{
	const struct hf_task *task = record;
	struct by_task *by_task = arg;
	struct netns_list *list = by_task->list;
	char path[64];

	if (task->namespaces)
		by_task->namespaces = task->namespaces;
	if (list_has(list, task->netns))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", task->pid);
	return list_add(list, open(path, O_RDONLY | O_CLOEXEC));
}

/* A socket in another namespace than its process's; those were met with the tasks. */
static int add_stray(const void *record, void *arg)
{
	const struct hf_owner *found = record;
	struct owner owner = {.pid = found->pid, .fd = found->fd};
	struct netns_list *list = arg;
	_cleanup_close_ int socket = -1;

	if (list_has(list, found->netns))
		return 0;
	socket = grab_socket(&owner, 1, found->cookie);
	return socket < 0 ? 0 : list_add(list, ioctl(socket, SIOCGSKNS));
}

/*
 * The same without an iterator over open files: the namespace of every socket
 * that /proc shows, of whatever kind it is.
 */
static int add_sockets(struct netns_list *list, struct error *e)
{
	struct owners owners;
	int err = owners_find_by_inode(&owners, e);
	size_t i;

	for (i = 0; !err && i < owners.n; i++) {
		_cleanup_close_ int socket = -1;

		if (i > 0 && owners.list[i].key == owners.list[i - 1].key)
			continue; /* another descriptor of it */
		socket = grab_socket(&owners.list[i], 1, 0);
		if (socket >= 0)
			err = list_add(list, ioctl(socket, SIOCGSKNS));
		else if (socket != -ENOENT && socket != -EPERM)
			err = error_set(e, -socket, "looking for network namespaces: %s",
					strerror(-socket));
	}
	owners_free(&owners);
	return err;
}

static int add_mounted(struct netns_list *list)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	int err = 0;

	if (!mounts)
		return -errno;
	while (!err && (mount = getmntent(mounts))) {
		if (strcmp(mount->mnt_type, "nsfs") == 0)
			err = list_add(list, open(mount->mnt_dir, O_RDONLY | O_CLOEXEC));
	}
	endmntent(mounts);
	return err;
}

int netns_find(const struct pins *pins, struct netns_list *list, struct error *e)
{
	struct by_task by_task = {.list = list};
	int err;

	*list = (struct netns_list){0};
	err = list_add(list, open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	if (!err)
		err = iter_run(pins, PIN_TASKS, sizeof(struct hf_task), add_task, &by_task, e);
	if (!err)
		err = add_mounted(list);
	/* A look at every open file of the host, only where one may be hidden there. */
	if (!err && by_task.namespaces && list->n == by_task.namespaces)
		return 0;
	if (!err && pins_has(pins, PIN_STRAYS))
		err = iter_run(pins, PIN_STRAYS, sizeof(struct hf_owner), add_stray, list, e);
	else if (!err)
		err = add_sockets(list, e);
	if (!err && list->n == 0)
		err = error_set(e, ENOENT, "/proc/self/ns/net can't be opened (is /proc mounted?)");
	if (err == -ENOMEM || err == -EMFILE || err == -ENFILE)
		error_set(e, -err, "%s", strerror(-err));
	if (err) {
		error_prefix(e, err, "finding network namespaces");
		netns_list_free(list);
	}
	return err;
}

void netns_list_free(struct netns_list *list)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		close(list->list[i].fd);
	free(list->list);
	*list = (struct netns_list){0};
}

int netns_call(const struct netns *ns, int (*fn)(void *arg), void *arg, struct error *e)
{
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct stat st;
	int ret;

	if (home < 0 || fstat(home, &st) < 0)
		return error_set(e, errno, "/proc/self/ns/net: %s", strerror(errno));
	if (st.st_ino == ns->inode)
		return fn(arg);
	if (setns(ns->fd, CLONE_NEWNET) < 0)
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
