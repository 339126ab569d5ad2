// SPDX-License-Identifier: GPL-2.0-or-later
#include "bpf/types.h"

#include "holdfast.skel.h"
#include "kernel/loader.h"

#include "base/util.h"
#include "kernel/cgroup.h"
#include "kernel/features.h"

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

	*target = (struct loader_target){0}; /* no stale bytes: all of path goes into a map */
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

/*
 * Memory that libbpf needs for the kernel's BTF, several MB. When it runs out of memory there, it
 * returns other errors than ENOMEM, so memory_left() finds out.
 */
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

/* Returns whether another try may succeed: the kernel is short of something, or was disturbed. */
static bool may_pass(int err)
{
	return err == -ENOMEM || err == -EAGAIN || err == -EINTR || err == -EBUSY ||
	       err == -EMFILE || err == -ENFILE;
}

/* Says why the kernel refuses the programs. Returns -EOPNOTSUPP if no other try will help. */
static int load_error(int err, struct error *e)
{
	struct utsname kernel;
	unsigned major, minor;

	if (!memory_left())
		return error_set(e, ENOMEM, "out of memory, loading the BPF programs");
	if (uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
	    (major < 5 || (major == 5 && minor < 10)))
		return error_set(e, EOPNOTSUPP, "kernel %s is too old: 5.10 is needed",
				 kernel.release);
	if (access("/sys/kernel/btf/vmlinux", R_OK) < 0)
		return error_set(e, EOPNOTSUPP,
				 "this kernel has no BTF (/sys/kernel/btf/vmlinux: %s); "
				 "it must be built with CONFIG_DEBUG_INFO_BTF",
				 strerror(errno));
	if (err == -EPERM) /* the caller has CAP_SYS_ADMIN: see privileges_check() */
		return error_set(
			e, EOPNOTSUPP,
			"not even root may load BPF programs here: kernel lockdown, SELinux, "
			"AppArmor or a container's seccomp profile forbids it (the kernel's "
			"and the audit log say which)");
	if (err == -EACCES)
		return error_set(
			e, EOPNOTSUPP,
			"the kernel refuses the BPF programs: %s; its verifier, or SELinux "
			"or AppArmor (--verbose and the audit log say which)",
			strerror(-err));
	return error_set(e, may_pass(err) ? -err : EOPNOTSUPP,
			 "the kernel refuses the BPF programs: %s (--verbose shows why)",
			 strerror(-err));
}

/* Has the skeleton use a map that an earlier daemon left pinned, in place of a new one. */
static int reuse(const struct data_plane *plane, struct bpf_map *map, struct error *e)
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

int loader_each_map(const struct data_plane *plane, const struct holdfast *skeleton,
		    int (*fn)(const struct data_plane *plane, struct bpf_map *map, struct error *e),
		    struct error *e)
{
	struct bpf_map *const maps[] = {
		/* load() has made it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		skeleton->maps.hf_rules,   skeleton->maps.hf_port_bitmap, skeleton->maps.hf_sockets,
		skeleton->maps.hf_info,	   skeleton->maps.hf_counters,	  skeleton->maps.hf_ends,
		skeleton->maps.hf_targets,
	};
	size_t i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(maps); i++)
		err = fn(plane, maps[i], e);
	return err;
}

/*
 * Levels of what kernels can do, each less than the one before; each comment says what is missing
 * and when the kernel got it. The loader tries them in turn, since distributions carry changes
 * back to kernels with old numbers.
 */
enum level {
	LEVEL_FULL = 0,
	LEVEL_NO_SURVEY = 1,  /* a walk through the table of connections: 6.2 */
	LEVEL_NO_SETTING = 2, /* bpf_setsockopt() in iterators and in the guard: 5.15 */
	LEVEL_NO_STORAGE = 3, /* socket storage in tracing programs, bpf_sock_from_file(): 5.11 */
	N_LEVELS,
};

/* The first level that is tried. A test build sets another, to have an older kernel's on any. */
#ifndef HF_LEVEL
#define HF_LEVEL LEVEL_FULL
#endif

/* Whether iterators over maps are tried. Hardened kernels refuse them with EPERM. */
#ifndef HF_OVER_MAPS
#define HF_OVER_MAPS true
#endif

/*
 * Leaves out the programs that a kernel of this level can't load. over_maps: the kernel has
 * iterators over maps.
 */
static void leave_out(struct holdfast *skeleton, enum level level, bool over_maps)
{
	bool marks = level < LEVEL_NO_SETTING && kernel_can_mark();

	bpf_program__set_autoload(skeleton->progs.hf_look, level >= LEVEL_NO_SETTING && over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_look_here,
				  level >= LEVEL_NO_SETTING && !over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_closed, over_maps);
	bpf_program__set_autoload(skeleton->progs.hf_closed_files,
				  level < LEVEL_NO_STORAGE && !over_maps);
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

/*
 * Tries to load the programs of one level. Returns 0 and *loaded, the caller's; a positive errno if
 * the kernel refuses the programs; or negative errno if anything else failed, which no other level
 * would mend.
 */
static int load_level(const struct data_plane *plane, const struct loader_target *target,
		      bool take_over, enum level level, bool over_maps, struct holdfast **loaded,
		      struct error *e)
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

int loader_load(const struct data_plane *plane, const struct loader_target *target, bool take_over,
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
		/*
		 * A lower level wouldn't help against missing memory or permission; and one chosen
		 * for lack of memory would stay in use when there is memory again.
		 */
		if (err == EPERM || err == ENOMEM || !memory_left())
			break;
	}
	return load_error(-first, e);
}

void loader_unload(struct holdfast *skeleton)
{
	holdfast__destroy(skeleton);
}

/*
 * After the load skeleton->rodata is NULL where libbpf couldn't find out whether the kernel maps
 * arrays into memory (libbpf.c, bpf_object__load_skeleton() and kernel_supports()). The values that
 * the programs were loaded with are there in any case.
 */
bool loader_tells_by_sockops(const struct holdfast *skeleton)
{
	size_t size;
	const typeof(*skeleton->rodata) *rodata =
		bpf_map__initial_value(skeleton->maps.rodata, &size);

	return rodata->hf_tell_by_sockops;
}
