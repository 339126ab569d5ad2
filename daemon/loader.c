// SPDX-License-Identifier: GPL-2.0-or-later
#include "../bpf/types.h"

#include "holdfast.skel.h"
#include "loader.h"

#include "cgroup.h"
#include "this_kernel.h"
#include "util.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

static void cleanup_skeleton(struct holdfast **skeleton)
{
	holdfast__destroy(*skeleton);
}

int loader_find_target(const char *cgroup, struct loader_target *target, struct error *e)
{
	_cleanup_free_ char *real = NULL;
	int err;

	*target = (struct loader_target){0}; /* path goes into a map as it is */
	if (cgroup) {
		real = realpath(cgroup, NULL);
		if (!real)
			return error_set(e, errno, "cgroup %s: %s", cgroup, strerror(errno));
		if (strlen(real) >= sizeof(target->path))
			return error_set(e, ENAMETOOLONG, "cgroup %s: the path is too long", real);
		memcpy(target->path, real, strlen(real) + 1);
	} else {
		target->mounted = cgroup_find_root(target->path, sizeof(target->path), false,
						   NULL) == -ENOENT;
		err = cgroup_find_root(target->path, sizeof(target->path), true, e);
		if (err)
			return err;
	}
	err = cgroup_id(target->path, &target->id, e);
	target->whole = !err && target->id == CGROUP_ROOT_ID;
	return err;
}

/* libbpf reads the kernel's BTF, several MB; out of memory then has other names. */
#define BTF_ROOM (16u << 20)

static bool memory_left(void)
{
	void *room =
		mmap(NULL, BTF_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return false;
	munmap(room, BTF_ROOM);
	return true;
}

static int load_error(int err, struct error *e)
{
	struct utsname kernel;
	unsigned major, minor;

	if (!memory_left())
		return error_set(e, ENOMEM, "out of memory, loading the BPF programs");
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return error_set(e, -err,
				 "this kernel has no BTF (/sys/kernel/btf/vmlinux: %s); "
				 "it must be built with CONFIG_DEBUG_INFO_BTF",
				 strerror(errno));
	if (err == -EPERM || err == -EACCES)
		return error_set(e, -err,
				 "not allowed to load BPF programs (run as root, or with CAP_BPF, "
				 "CAP_NET_ADMIN and CAP_PERFMON)");
	if (uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
	    (major < 5 || (major == 5 && minor < 10)))
		return error_set(e, -err, "kernel %s is too old: 5.10 is needed", kernel.release);
	return error_set(e, -err, "the kernel refuses the BPF programs: %s (--verbose shows why)",
			 strerror(-err));
}

/* Reuse a map that an earlier daemon left, so that nothing held is forgotten. */
static int reuse(const struct plane *plane, struct bpf_map *map, struct error *e)
{
	_cleanup_close_ int fd = pins_get(&plane->pins, bpf_map__name(map), e);
	int err;

	if (fd < 0)
		return fd;
	err = bpf_map__reuse_fd(map, fd);
	if (err)
		return error_set(e, -err, "can't take over the map %s: %s", bpf_map__name(map),
				 strerror(-err));
	return 0;
}

int loader_each_map(const struct plane *plane, const struct holdfast *skeleton,
		    int (*fn)(const struct plane *plane, struct bpf_map *map, struct error *e),
		    struct error *e)
{
	struct bpf_map *const maps[] = {
		/* load() has made it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		skeleton->maps.hf_rules,   skeleton->maps.hf_gate,     skeleton->maps.hf_sockets,
		skeleton->maps.hf_info,	   skeleton->maps.hf_counters, skeleton->maps.hf_ends,
		skeleton->maps.hf_targets,
	};
	size_t i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(maps); i++)
		err = fn(plane, maps[i], e);
	return err;
}

/*
 * What kernels can do, each more than the next. Distributions carry changes back
 * to kernels with old numbers, so that it is found out by trying.
 */
enum level {
	LEVEL_FULL = 0,
	LEVEL_NO_SURVEY = 1,  /* a walk through the table of connections: 6.2 */
	LEVEL_NO_SETTING = 2, /* bpf_setsockopt() in iterators and in the guard: 5.15 */
	LEVEL_NO_STORAGE = 3, /* socket storage in tracing programs, bpf_sock_from_file(): 5.11 */
	N_LEVELS,
};

/* The level to begin with; a test builds another one, to have an older kernel's on any. */
#ifndef HF_LEVEL
#define HF_LEVEL LEVEL_FULL
#endif

/* Whether the kernel lets iterators go through maps: hardened ones refuse it with EPERM. */
#ifndef HF_OVER_MAPS
#define HF_OVER_MAPS true
#endif

/* over_maps: the kernel lets iterators go through maps. */
static void leave_out(struct holdfast *skeleton, enum level level, bool over_maps)
{
	bool marks = level < LEVEL_NO_SETTING && kernel_can_mark();

	bpf_program__set_autoload(skeleton->progs.hf_look, level >= LEVEL_NO_SETTING && over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_look_here,
				  level >= LEVEL_NO_SETTING && !over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_held, over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_settled, over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_held_here, !over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_settled_here, !over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_sweep, level < LEVEL_NO_SETTING);
	bpf_program__set_autoload(skeleton->progs.hf_probe, level < LEVEL_NO_SETTING);
	skeleton->rodata->hf_guard_sets = level < LEVEL_NO_SETTING;
	bpf_program__set_autoload(skeleton->progs.hf_matched, level < LEVEL_NO_STORAGE);
	bpf_program__set_autoload(skeleton->progs.hf_owners, level < LEVEL_NO_STORAGE);
	bpf_program__set_autoload(skeleton->progs.hf_holders,
				  level < LEVEL_NO_STORAGE && kernel_can_search());
	bpf_program__set_autoload(skeleton->progs.hf_survey,
				  level < LEVEL_NO_SURVEY && kernel_can_survey());
	bpf_program__set_autoload(skeleton->progs.hf_strays, level < LEVEL_NO_STORAGE);
	bpf_program__set_autoload(skeleton->progs.hf_ended, level < LEVEL_NO_STORAGE);
	skeleton->rodata->hf_tell_by_sockops = level >= LEVEL_NO_STORAGE || marks;
	skeleton->rodata->hf_marks = marks;
}

/* Positive: the errno with which the kernel refuses the programs of this level. */
static int load_level(const struct plane *plane, const struct loader_target *target, bool take_over,
		      enum level level, bool over_maps, struct holdfast **loaded, struct error *e)
{
	__attribute__((cleanup(cleanup_skeleton))) struct holdfast *skeleton = holdfast__open();
	uint32_t hz = 0;
	int err;

	if (!skeleton)
		return error_set(e, errno, "can't open the BPF programs: %s", strerror(errno));
	leave_out(skeleton, level, over_maps);
	err = kernel_hz(&hz, e);
	if (err)
		return err;
	skeleton->rodata->hf_hz = hz;
	skeleton->rodata->hf_cgroup_id = target->whole ? 0 : target->id;
	if (take_over) {
		err = loader_each_map(plane, skeleton, reuse, e);
		if (err)
			return err;
	}
	err = holdfast__load(skeleton);
	if (err)
		return -err; /* positive */
	*loaded = take_ptr(skeleton);
	return 0;
}

int loader_load(const struct plane *plane, const struct loader_target *target, bool take_over,
		struct holdfast **loaded, struct error *e)
{
	int level, err = 0, first = 0;

	for (level = HF_LEVEL; level < N_LEVELS; level++) {
		err = load_level(plane, target, take_over, (enum level)level, HF_OVER_MAPS, loaded,
				 e);
		if (err == EPERM)
			err = load_level(plane, target, take_over, (enum level)level, false, loaded,
					 e);
		if (err <= 0)
			return err;
		first = first ? first : err;
		/* What is short now may not be in a moment; a level is for good. */
		if (err == EPERM || err == ENOMEM || !memory_left())
			break;
	}
	return load_error(-first, e);
}

void loader_unload(struct holdfast *skeleton)
{
	holdfast__destroy(skeleton);
}
