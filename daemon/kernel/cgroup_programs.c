// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/cgroup_programs.h"

#include "base/util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>

static const enum bpf_attach_type hooks[] = {
	BPF_CGROUP_SOCK_OPS,	  BPF_CGROUP_SETSOCKOPT,    BPF_CGROUP_GETSOCKOPT,
	BPF_CGROUP_INET4_CONNECT, BPF_CGROUP_INET6_CONNECT,
};

static void read_name(struct cgroup_program *program)
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(program->id);
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
		memcpy(program->name, info.name, sizeof(program->name));
	program->name[sizeof(program->name) - 1] = '\0';
}

static void look_at(const char *cgroup, cgroup_program_fn tell, void *arg)
{
	_cleanup_close_ int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint32_t ids[64], flags, n, i;
	size_t hook;

	for (hook = 0; fd >= 0 && hook < ARRAY_SIZE(hooks); hook++) {
		n = ARRAY_SIZE(ids);
		if (bpf_prog_query(fd, hooks[hook], 0, &flags, ids, &n) < 0)
			continue;
		for (i = 0; i < n && i < ARRAY_SIZE(ids); i++) {
			struct cgroup_program program = {
				.cgroup = cgroup,
				.hook = libbpf_bpf_attach_type_str(hooks[hook]),
				.id = ids[i],
				.exclusive = !(flags & BPF_F_ALLOW_MULTI)};

			read_name(&program);
			tell(&program, arg);
		}
	}
}

int cgroup_programs(const char *root, cgroup_program_fn tell, void *arg, struct error *e)
{
	char *copy = strdup(root), *const roots[] = {copy, NULL};
	FTS *walk = copy ? fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL) : NULL;
	const FTSENT *entry;
	int err = walk ? 0 : -errno;

	while (walk && (errno = 0, entry = fts_read(walk))) {
		if (entry->fts_info == FTS_D)
			look_at(entry->fts_path, tell, arg);
	}
	if (walk && errno && errno != ENOENT)
		err = -errno;
	if (walk)
		fts_close(walk);
	free(copy);
	return err ? error_set(e, -err, "looking through %s: %s", root, strerror(-err)) : 0;
}
