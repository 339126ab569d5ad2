// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/hook.h"

#include "base/util.h"
#include "kernel/cgroup.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/*
 * Opens a pinned link and gets the kernel's information on it. Returns a descriptor, the caller's
 * to close, or negative errno.
 */
static int look_at(const struct pins *pins, const char *name, struct bpf_link_info *info,
		   struct error *e)
{
	uint32_t size = sizeof(*info);
	_cleanup_close_ int link = pins_get(pins, name, e);

	memset(info, 0, sizeof(*info));
	if (link >= 0 && bpf_obj_get_info_by_fd(link, info, &size) < 0)
		return error_set(e, errno, "%s: %s", name, strerror(errno));
	return take_fd(&link);
}

/* Writes "NAME (id N)" of a program, or "id N" if its name can't be found out. */
static void name_program(char *text, size_t size, uint32_t id)
{
	struct bpf_prog_info info = {0};
	uint32_t length = sizeof(info);
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &length) == 0 && info.name[0])
		snprintf(text, size, "%s (id %u)", info.name, id);
	else
		snprintf(text, size, "id %u", id);
}

/*
 * Explains in e why attaching to a cgroup gave err, which is EPERM or EACCES. Returns -EPERM where
 * a program is attached to the cgroup, or above it, without BPF_F_ALLOW_MULTI
 * (hierarchy_allows_attach() in kernel/bpf/cgroup.c). Else -EOPNOTSUPP: this process has the
 * capabilities (privileges_check()).
 */
static int refused(const char *cgroup, enum bpf_attach_type type, int err, struct error *e)
{
	char path[PATH_MAX], program[BPF_OBJ_NAME_LEN + 32];
	uint32_t ids[64], n, flags;
	char *slash;

	snprintf(path, sizeof(path), "%s", cgroup);
	for (;;) {
		_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		n = ARRAY_SIZE(ids);
		if (fd < 0 || bpf_prog_query(fd, type, 0, &flags, ids, &n) < 0)
			break; /* above the hierarchy's root */
		if (n && !(flags & BPF_F_ALLOW_MULTI)) {
			name_program(program, sizeof(program), ids[0]);
			return error_set(e, EPERM,
					 "can't attach to the cgroup %s: another program, %s, is "
					 "attached exclusively to %s (bpftool cgroup tree shows "
					 "it)",
					 cgroup, program, path);
		}
		slash = strrchr(path, '/');
		if (!slash || slash == path)
			break;
		*slash = '\0';
	}
	return error_set(
		e, EOPNOTSUPP,
		"can't attach to the cgroup %s: %s, not even to root; SELinux, AppArmor or a "
		"container's seccomp profile forbids it (the audit log says which)",
		cgroup, strerror(err));
}

int hook_attach(const struct pins *pins, const char *name, int program_fd,
		enum bpf_attach_type type, const struct hook_target *target, struct error *e)
{
	_cleanup_close_ int cgroup = -1, link = -1;

	cgroup = open(target->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return error_set(e, errno, "cgroup %s: %s", target->path, strerror(errno));
	link = bpf_link_create(program_fd, cgroup, type, NULL);
	if (link < 0 && (errno == EPERM || errno == EACCES))
		return refused(target->path, type, errno, e);
	if (link < 0)
		return error_set(e, errno, "can't attach to the cgroup %s: %s", target->path,
				 strerror(errno));
	return pins_put(pins, name, link, e);
}

int hook_attached_to(const struct pins *pins, const char *name, const struct hook_target *target,
		     struct error *e)
{
	struct bpf_link_info info;
	_cleanup_close_ int link = look_at(pins, name, &info, e);

	if (link < 0)
		return link == -ENOENT ? 0 : link;
	return info.cgroup.cgroup_id == target->id;
}

int hook_replace(const struct pins *pins, const char *name, int program_fd, int *before,
		 struct error *e)
{
	struct bpf_link_info info;
	_cleanup_close_ int link = look_at(pins, name, &info, e), old = -1;

	if (link < 0)
		return link;
	if (before) {
		old = bpf_prog_get_fd_by_id(info.prog_id);
		if (old < 0)
			return error_set(e, errno, "%s: its program: %s", name, strerror(errno));
	}
	if (bpf_link_update(link, program_fd, NULL) < 0)
		return error_set(e, errno, "can't replace the program of %s: %s", name,
				 strerror(errno));
	if (before)
		*before = take_fd(&old);
	return 0;
}

/* Gets the name of a pinned link's program. Returns the program's id, or 0 if it isn't known. */
static uint32_t program_of(const struct pins *pins, const char *name,
			   char program[BPF_OBJ_NAME_LEN])
{
	struct bpf_link_info link = {0};
	struct bpf_prog_info info = {0};
	uint32_t link_size = sizeof(link), size = sizeof(info);
	_cleanup_close_ int link_fd = pins_get(pins, name, NULL), fd = -1;

	if (link_fd < 0 || bpf_obj_get_info_by_fd(link_fd, &link, &link_size) < 0)
		return 0;
	fd = bpf_prog_get_fd_by_id(link.prog_id);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return 0;
	memcpy(program, info.name, sizeof(info.name));
	return link.prog_id;
}

static bool is_named(uint32_t id, const char name[BPF_OBJ_NAME_LEN])
{
	_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
	       strncmp(info.name, name, sizeof(info.name)) == 0;
}

/*
 * Returns the id of a sockops program of this name, other than ours, that runs on the cgroup's
 * sockets, attached to it or above it; 0 if there is none.
 */
static uint32_t find_in_effect(int cgroup, uint32_t ours, const char name[BPF_OBJ_NAME_LEN])
{
	uint32_t ids[64], n = ARRAY_SIZE(ids), i;

	if (bpf_prog_query(cgroup, BPF_CGROUP_SOCK_OPS, BPF_F_QUERY_EFFECTIVE, NULL, ids, &n) < 0)
		return 0;
	for (i = 0; i < n && i < ARRAY_SIZE(ids); i++) {
		if (ids[i] != ours && is_named(ids[i], name))
			return ids[i];
	}
	return 0;
}

/* Returns whether a link is attached to the cgroup or below it. */
static bool is_within(const struct bpf_link_info *link, int cgroup, const char *path)
{
	char real[PATH_MAX], below[PATH_MAX];

	return realpath(path, real) &&
	       cgroup_path(cgroup, real, link->cgroup.cgroup_id, below, sizeof(below)) == 0 &&
	       below[0] == '/';
}

/* As find_in_effect(), but looks through the links attached to the cgroup and below it. */
static uint32_t find_below(int cgroup, const char *path, uint32_t ours,
			   const char name[BPF_OBJ_NAME_LEN])
{
	uint32_t id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		_cleanup_close_ int fd = bpf_link_get_fd_by_id(id);
		struct bpf_link_info link = {0};
		uint32_t size = sizeof(link);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &link, &size) == 0 &&
		    link.type == BPF_LINK_TYPE_CGROUP &&
		    link.cgroup.attach_type == BPF_CGROUP_SOCK_OPS && link.prog_id != ours &&
		    is_within(&link, cgroup, path) && is_named(link.prog_id, name))
			return link.prog_id;
	}
	return 0;
}

uint32_t hook_find_other(const struct pins *pins, const char *name, const char *cgroup)
{
	_cleanup_close_ int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char program[BPF_OBJ_NAME_LEN];
	uint32_t ours = program_of(pins, name, program), other;

	if (!ours || fd < 0)
		return 0;
	other = find_in_effect(fd, ours, program);
	return other ? other : find_below(fd, cgroup, ours, program);
}

bool hook_has_foreign(void)
{
	static const char ours[] = "hf_sockops";
	bool found = false;
	uint32_t id = 0;

	while (!found && bpf_prog_get_next_id(id, &id) == 0) {
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);
		struct bpf_prog_info info = {0};
		uint32_t size = sizeof(info);

		found = fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
			info.type == BPF_PROG_TYPE_SOCK_OPS && strcmp(info.name, ours) != 0;
	}
	return found;
}

int hook_attach_ended(const struct pins *pins, struct error *e)
{
	_cleanup_close_ int program = -1;
	int err;

	if (pins_has(pins, PIN_ENDED) || !pins_has(pins, PIN_ENDED_PROGRAM))
		return 0;
	program = pins_get(pins, PIN_ENDED_PROGRAM, e);
	err = program < 0 ? program : hook_attach_tracepoint(pins, PIN_ENDED, program, e);
	return err ? err : 1;
}

int hook_attached(const struct pins *pins, const char *name, struct error *e)
{
	struct bpf_link_info info;
	_cleanup_close_ int link = look_at(pins, name, &info, e);

	if (link < 0)
		return link == -ENOENT ? 0 : link;
	/*
	 * A cgroup link that was detached by force, or whose cgroup was removed, has the cgroup id
	 * 0. Other links stay attached as long as they are pinned.
	 */
	return info.type != BPF_LINK_TYPE_CGROUP || info.cgroup.cgroup_id != 0;
}

int hook_detach(const struct pins *pins, const char *name, struct error *e)
{
	_cleanup_close_ int link = -1;

	if (!pins_has(pins, name))
		return 0;
	link = pins_get(pins, name, e);
	if (link < 0)
		return link;
	/*
	 * Removing the pin isn't enough, since another process may have the link open. ENOLINK
	 * means that the cgroup is gone.
	 */
	if (bpf_link_detach(link) < 0 && errno != ENOLINK)
		return error_set(e, errno, "can't detach from the cgroup: %s", strerror(errno));
	return pins_drop(pins, name, e);
}

bool config_needs_guard(const struct config *config)
{
	size_t i;

	for (i = 0; config->guard && i < config->n_rules; i++) {
		if (config->rules[i].enforce && config->rules[i].override != HF_OVERRIDE_NEVER)
			return true;
	}
	return false;
}

int hook_need_guard(const struct pins *pins, const struct config *config,
		    const struct hook_target *target, struct error *e)
{
	_cleanup_close_ int program = -1;
	int attached;

	if (!config_needs_guard(config))
		return 0;
	attached = hook_attached(pins, PIN_GUARD, e);
	if (attached)
		return attached < 0 ? attached : 0;
	program = pins_get(pins, PIN_GUARD_PROGRAM, e);
	if (program < 0)
		return program;
	attached = hook_attach(pins, PIN_GUARD, program, BPF_CGROUP_SETSOCKOPT, target, e);
	return attached < 0 ? attached : 1;
}

int hook_spare_guard(const struct pins *pins, const struct config *config, struct error *e)
{
	return config_needs_guard(config) ? 0 : hook_detach(pins, PIN_GUARD, e);
}

int hook_attach_tracepoint(const struct pins *pins, const char *name, int program_fd,
			   struct error *e)
{
	/* The program itself says which tracepoint. */
	_cleanup_close_ int link = bpf_raw_tracepoint_open(NULL, program_fd);

	if (link < 0)
		return error_set(e, errno, "can't attach to TCP state changes: %s",
				 strerror(errno));
	return pins_put(pins, name, link, e);
}
