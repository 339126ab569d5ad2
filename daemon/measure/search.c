// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/search.h"

#include "base/clock.h"
#include "base/util.h"
#include "measure/connection.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

/* Not each process's environment at once: most commands are their own descendants. */
#define PATIENCE_MS 300

/* Of an environment, as much as is read. */
#define ENVIRONMENT_MAX (256u * 1024u)

struct process {
	pid_t pid, parent, session;
	uint64_t started_ticks; /* since the machine started */
	bool ours;
};

struct processes {
	struct process *list;
	size_t n, room;
};

/* /proc/PID/stat: the command's name may have anything in it, so what is behind the last ')'. */
static bool read_process(const char *name, struct process *process)
{
	char path[64], text[1024], *end;
	_cleanup_fclose_ FILE *file = NULL;
	size_t got;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", name);
	file = fopen(path, "re");
	if (!file)
		return false;
	got = fread(text, 1, sizeof(text) - 1, file);
	text[got] = '\0';
	end = strrchr(text, ')');
	*process = (struct process){.pid = (pid_t)atoi(name)};
	return end && sscanf(end + 1,
			     " %*c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			     "%*d %*d %" SCNu64,
			     &process->parent, &process->session, &process->started_ticks) == 3;
}

static int read_processes(struct processes *processes)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (array_grow(&processes->list, processes->n, &processes->room,
			       sizeof(*processes->list)))
			return -ENOMEM;
		processes->n += read_process(entry->d_name, &processes->list[processes->n]);
	}
	return 0;
}

static bool is_of_ours(const struct processes *processes, pid_t pid)
{
	size_t i;

	for (i = 0; i < processes->n; i++) {
		if (processes->list[i].pid == pid)
			return processes->list[i].ours;
	}
	return false;
}

/* Until no more are found: a child may stand before its parent. */
static void mark_descendants(struct processes *processes, pid_t first)
{
	bool more = true;
	size_t i;

	while (more) {
		more = false;
		for (i = 0; i < processes->n; i++) {
			struct process *process = &processes->list[i];

			if (process->ours)
				continue;
			process->ours = process->pid == first || process->session == first ||
					is_of_ours(processes, process->parent);
			more |= process->ours;
		}
	}
}

static bool has_variable(pid_t pid, const char *mark)
{
	_cleanup_free_ char *text = malloc(ENVIRONMENT_MAX);
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], wanted[64];
	size_t got, length, at;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	file = fopen(path, "re");
	if (!file || !text)
		return false;
	got = fread(text, 1, ENVIRONMENT_MAX, file);
	length = (size_t)snprintf(wanted, sizeof(wanted), CLIENT_VARIABLE "=%s", mark) + 1;
	for (at = 0; at + length <= got; at += strnlen(text + at, got - at) + 1) {
		if (memcmp(text + at, wanted, length) == 0)
			return true;
	}
	return false;
}

/* Somebody else has started it on the command's behalf: after the command, that is. */
static void mark_by_variable(struct processes *processes, const struct client *client)
{
	uint64_t first = UINT64_MAX;
	size_t i;

	for (i = 0; i < processes->n; i++) {
		if (processes->list[i].pid == client->pid)
			first = processes->list[i].started_ticks;
	}
	for (i = 0; i < processes->n; i++) {
		struct process *process = &processes->list[i];

		if (!process->ours && process->started_ticks >= first)
			process->ours = has_variable(process->pid, client->mark);
	}
}

static int look_at(struct pidfd_helper *helper, const struct owner *owner,
		   const struct search_peer *peer, uint64_t *cookie, struct error *e)
{
	_cleanup_close_ int fd = pidfd_socket_get(helper, owner, 1, 0);

	if (fd == -ENOENT)
		return fd;
	if (fd == -ENOSYS)
		return error_set(e, ENOSYS,
				 "this kernel is older than 5.6: it has no "
				 "pidfd_getfd(2), which this takes");
	if (fd < 0)
		return error_set(e, -fd, "can't take the command's connection (pidfd_getfd): %s%s",
				 strerror(-fd),
				 fd == -EPERM ? "; is kernel.yama.ptrace_scope 3?" : "");
	if (!connection_is_to(fd, peer->family, peer->address, peer->port, cookie))
		return -ENOENT;
	return take_fd(&fd);
}

/* Among the sockets of one process. */
static int look_through(struct pidfd_helper *helper, pid_t pid, const struct search_peer *peer,
			uint64_t *cookie, struct error *e)
{
	_cleanup_closedir_ DIR *files = NULL;
	char path[64], target[64];
	struct dirent *file;
	int found = -ENOENT;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	files = opendir(path);
	while (found == -ENOENT && files && (file = readdir(files))) {
		const struct owner owner = {.pid = pid, .fd = (unsigned)atoi(file->d_name)};

		length = readlinkat(dirfd(files), file->d_name, target, sizeof(target) - 1);
		if (length <= 0)
			continue;
		target[length] = '\0';
		if (strncmp(target, "socket:", 7) == 0)
			found = look_at(helper, &owner, peer, cookie, e);
	}
	return found;
}

int search_connection(struct pidfd_helper *helper, const struct client *client,
		      const struct search_peer *peer, uint64_t *cookie, struct error *e)
{
	struct processes processes = {0};
	int found = read_processes(&processes);
	size_t i;

	if (found) {
		free(processes.list);
		return error_set(e, -found, "reading /proc: %s", strerror(-found));
	}
	mark_descendants(&processes, client->pid);
	if (monotonic_ms() - client->started_ms >= PATIENCE_MS)
		mark_by_variable(&processes, client);
	found = -ENOENT;
	for (i = 0; found == -ENOENT && i < processes.n; i++) {
		if (processes.list[i].ours)
			found = look_through(helper, processes.list[i].pid, peer, cookie, e);
	}
	free(processes.list);
	return found;
}
