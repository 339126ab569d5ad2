// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/netns_in_proc.h"

#include "base/util.h"
#include "host/netns_finding.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/xattr.h>

/* Adds the namespace of a task; `path` is /proc/PID/task/TID/ns/net. */
static int add_task(struct finding *finding, char *path)
{
	unsigned long inode;
	char target[64];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length <= 0)
		return 0; /* the task has gone, or we may not look into it */
	target[length] = '\0';
	if (sscanf(target, "net:[%lu]", &inode) == 1 && cookie_set_have(&finding->known, inode))
		return 0;
	return finding_add_path(finding, path);
}

static int add_process(struct finding *finding, const char *pid)
{
	char path[PATH_MAX];
	_cleanup_closedir_ DIR *tasks = NULL;
	struct dirent *task;
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	tasks = opendir(path);
	if (!tasks)
		return error_is_shortage(-errno) ? -errno : 0;
	while (!err && (task = readdir(tasks))) {
		if (!isdigit((unsigned char)task->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task/%s/ns/net", pid, task->d_name);
		err = add_task(finding, path);
	}
	return err;
}

static int add_processes(struct finding *finding)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;
	int err = 0;

	if (!proc)
		return -errno;
	while (!err && (entry = readdir(proc))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			err = add_process(finding, entry->d_name);
	}
	return err;
}

int netns_find_in_proc(struct netns_list *list, struct error *e)
{
	struct finding finding;
	int err;

	*list = (struct netns_list){0};
	err = finding_begin(&finding, list);
	if (!err)
		err = finding_add_own(&finding);
	if (!err)
		err = add_processes(&finding);
	if (!err)
		err = finding_add_mounted(&finding);
	return finding_end(&finding, err, e);
}

/* Tells whether a descriptor is a TCP socket, without taking it. The kernel names the protocol. */
static bool is_tcp(const struct owner *owner)
{
	char path[64], protocol[32] = "";
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)owner->pid, owner->fd);
	length = getxattr(path, "system.sockprotoname", protocol, sizeof(protocol) - 1);
	return length > 0 &&
	       (strncmp(protocol, "TCP", 3) == 0 || strncmp(protocol, "MPTCP", 5) == 0);
}

int netns_add_strays(struct netns_list *list, const struct owners *owners,
		     const struct u64_set *seen, struct error *e)
{
	struct finding finding;
	int err = finding_begin(&finding, list);
	size_t i;

	for (i = 0; !err && i < owners->n; i++) {
		const struct owner *owner = &owners->list[i];

		if (i > 0 && owner[-1].key == owner->key)
			continue; /* another descriptor of the same socket */
		if (u64_set_have(seen, owner->key) || !is_tcp(owner))
			continue;
		err = finding_add_socket(&finding, owner, 0);
		if (!error_is_shortage(err))
			err = 0; /* gone meanwhile, or it may not be taken */
	}
	return finding_end(&finding, err, e);
}
