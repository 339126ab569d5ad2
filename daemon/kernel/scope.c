// SPDX-License-Identifier: GPL-2.0-or-later
#include "bpf/types.h"

#include "kernel/scope.h"

#include "kernel/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void scope_open(struct scope *scope, const struct data_plane *plane)
{
	struct hf_info info;

	*scope = (struct scope){.fd = -1};
	if (data_plane_get_info(plane, &info, NULL) < 0 || info.cgroup_id == CGROUP_ROOT_ID)
		return;
	scope->id = info.cgroup_id;
	memcpy(scope->path, info.cgroup, sizeof(scope->path));
	scope->fd = open(info.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void scope_close(struct scope *scope)
{
	if (scope->fd >= 0)
		close(scope->fd);
	scope->fd = -1;
}

bool scope_has(const struct scope *scope, uint64_t id)
{
	char path[HF_CGROUP_PATH_MAX * 2];
	uint64_t now;

	if (!scope->id || !id || id == scope->id)
		return true;
	/* If the subtree's top was removed, another cgroup may have its path by now. */
	if (cgroup_id(scope->path, &now, NULL) < 0 || now != scope->id)
		return false;
	return cgroup_path(scope->fd, scope->path, id, path, sizeof(path)) == 0 &&
	       (path[0] == '/' || path[0] == '\0');
}
