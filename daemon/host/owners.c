// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/owners.h"

#include "base/text.h"
#include "base/util.h"
#include "kernel/iter.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct finding {
	struct owners *owners;
	size_t room;
};

static int add(struct finding *finding, uint64_t key, pid_t pid, unsigned fd, const char *comm,
	       size_t size)
{
	struct owners *owners = finding->owners;
	struct owner *owner;

	if (array_grow(&owners->list, owners->n, &finding->room, sizeof(*owner)))
		return -ENOMEM;
	owner = &owners->list[owners->n++];
	owner->key = key;
	owner->pid = pid;
	owner->fd = fd;
	text_escape(owner->command, sizeof(owner->command), comm, size);
	return 0;
}

static int add_record(const void *record, void *arg)
{
	const struct hf_owner *owner = record;

	return add(arg, owner->cookie, owner->pid, owner->fd, owner->comm,
		   strnlen(owner->comm, sizeof(owner->comm)));
}

/* Reads /proc/PID/comm without its newline. Returns its length, 0 on failure. */
static size_t read_comm(int process, char *comm, size_t size)
{
	_cleanup_close_ int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, comm, size);

	if (got <= 0)
		return 0;
	return (size_t)got - (comm[got - 1] == '\n');
}

static int add_process(struct finding *finding, int proc, const char *name)
{
	_cleanup_close_ int process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *files = NULL;
	char target[64], comm[64];
	struct dirent *file;
	unsigned long inode;
	size_t comm_size;
	ssize_t length;
	int fd, err = 0;

	fd = process < 0 ? -1 : openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) /* the process has gone, or we may not look into it */
		return error_is_shortage(-errno) ? -errno : 0;
	files = fdopendir(fd);
	if (!files) {
		err = -errno;
		close(fd);
		return err;
	}
	comm_size = read_comm(process, comm, sizeof(comm));
	while (!err && (file = readdir(files))) {
		length = readlinkat(dirfd(files), file->d_name, target, sizeof(target) - 1);
		if (length <= 0)
			continue;
		target[length] = '\0';
		if (sscanf(target, "socket:[%lu]", &inode) == 1)
			err = add(finding, inode, (pid_t)atoi(name), (unsigned)atoi(file->d_name),
				  comm, comm_size);
	}
	return err;
}

static int walk_proc(struct finding *finding)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	struct dirent *entry;
	int err = 0;

	if (!proc)
		return -errno;
	while (!err && (entry = readdir(proc))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			err = add_process(finding, dirfd(proc), entry->d_name);
	}
	return err;
}

static int by_key(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static int finish(struct owners *owners, int err, struct error *e)
{
	if (err) {
		owners_free(owners);
		return error_set(e, -err, "finding the owners of sockets: %s", strerror(-err));
	}
	if (owners->n)
		qsort(owners->list, owners->n, sizeof(*owners->list), by_key);
	return 0;
}

int owners_read(int fd, struct owners *owners, struct error *e)
{
	struct finding finding = {.owners = owners};

	*owners = (struct owners){0};
	return finish(owners, iter_read(fd, sizeof(struct hf_owner), add_record, &finding, e), e);
}

int owners_find(const struct pins *pins, struct owners *owners, struct error *e)
{
	_cleanup_close_ int fd = iter_open(pins, PIN_OWNERS, e);
	int err = fd < 0 ? fd : owners_read(fd, owners, e);

	return !err || err == -ENOMEM ? err : owners_find_by_inode(owners, e);
}

int owners_find_by_inode(struct owners *owners, struct error *e)
{
	struct finding finding = {.owners = owners};

	*owners = (struct owners){.by_inode = true};
	return finish(owners, walk_proc(&finding), e);
}

void owners_free(struct owners *owners)
{
	free(owners->list);
	*owners = (struct owners){0};
}

const struct owner *owners_of(const struct owners *owners, uint64_t cookie, uint32_t inode,
			      size_t *n)
{
	uint64_t key = owners->by_inode ? inode : cookie;
	size_t low = 0, high = owners->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (owners->list[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	for (*n = 0; low + *n < owners->n && owners->list[low + *n].key == key;)
		(*n)++;
	return *n ? &owners->list[low] : NULL;
}
