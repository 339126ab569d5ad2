// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/cgroup_programs.h"

#include "base/util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* Looks at a directory, and at those below it. size: the length of the path. */
static void walk(char path[PATH_MAX], size_t size, cgroup_program_fn tell, void *arg)
{
	_cleanup_closedir_ DIR *directory = opendir(path);
	const struct dirent *entry;
	int n;

	if (!directory)
		return; /* it has been removed */
	look_at(path, tell, arg);
	while ((entry = readdir(directory))) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		n = snprintf(path + size, PATH_MAX - size, "/%s", entry->d_name);
		if (n > 0 && size + (size_t)n < PATH_MAX)
			walk(path, size + (size_t)n, tell, arg);
		path[size] = '\0';
	}
}

int cgroup_programs(const char *root, cgroup_program_fn tell, void *arg, struct error *e)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s", root) >= (int)sizeof(path))
		return error_set(e, ENAMETOOLONG, "cgroup %s: the path is too long", root);
	if (access(path, R_OK) < 0)
		return error_set(e, errno, "cgroup %s: %s", root, strerror(errno));
	walk(path, strlen(path), tell, arg);
	return 0;
}
