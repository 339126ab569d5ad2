// SPDX-License-Identifier: GPL-2.0-or-later
#include "../bpf/types.h"

#include "holdfast.skel.h"
#include "loader.h"

#include "cgroup.h"
#include "hook.h"
#include "this_kernel.h"
#include "util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>

static void cleanup_skeleton(struct holdfast **skeleton)
{
	holdfast__destroy(*skeleton);
}

static void cleanup_link(struct bpf_link **link)
{
	bpf_link__destroy(*link);
}

#define _cleanup_link_ __attribute__((cleanup(cleanup_link)))

/* The cgroup to attach to. */
struct target {
	char path[HF_CGROUP_PATH_MAX]; /* as the kernel spells it: paths of sockets begin so */
	uint64_t id;
	bool whole; /* the hierarchy's root: no limit */
};

static int find_target(const char *cgroup, struct target *target, struct error *e)
{
	_cleanup_free_ char *real = NULL;
	int err;

	if (cgroup) {
		real = realpath(cgroup, NULL);
		if (!real)
			return error_set(e, errno, "cgroup %s: %s", cgroup, strerror(errno));
		if (strlen(real) >= sizeof(target->path))
			return error_set(e, ENAMETOOLONG, "cgroup %s: the path is too long", real);
		memcpy(target->path, real, strlen(real) + 1);
	} else {
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

/* Calls fn for every map that is pinned. */
static int for_each_map(const struct plane *plane, const struct holdfast *skeleton,
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
static int load_level(const struct plane *plane, const struct target *target, bool take_over,
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
		err = for_each_map(plane, skeleton, reuse, e);
		if (err)
			return err;
	}
	err = holdfast__load(skeleton);
	if (err)
		return -err; /* positive */
	*loaded = take_ptr(skeleton);
	return 0;
}

static int load(const struct plane *plane, const struct target *target, bool take_over,
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

static int pin_map(const struct plane *plane, struct bpf_map *map, struct error *e)
{
	return pins_put(&plane->pins, bpf_map__name(map), bpf_map__fd(map), e);
}

/* An iterator is a link too: attached to nothing, run when its pin is read. */
static int pin_iterator(const struct plane *plane, const struct bpf_program *program,
			const struct bpf_map *map, struct error *e)
{
	union bpf_iter_link_info info = {0};
	LIBBPF_OPTS(bpf_iter_attach_opts, options);
	_cleanup_link_ struct bpf_link *link = NULL;

	if (!bpf_program__autoload(program)) /* the kernel can't; nor may an earlier one's stay */
		return pins_drop(&plane->pins, bpf_program__name(program), e);
	if (map) {
		info.map.map_fd = (uint32_t)bpf_map__fd(map);
		options.link_info = &info;
		options.link_info_len = sizeof(info);
	}
	link = bpf_program__attach_iter(program, &options);
	if (!link)
		return error_set(e, errno, "can't make the iterator %s: %s",
				 bpf_program__name(program), strerror(errno));
	return pins_put(&plane->pins, bpf_program__name(program), bpf_link__fd(link), e);
}

static int pin_iterators(const struct plane *plane, const struct holdfast *skeleton,
			 struct error *e)
{
	int err;

	/* What the iterators alone use, and only while they run: nothing to take over. */
	/* load() has made it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
	err = pin_map(plane, skeleton->maps.hf_wanted, e);
	if (!err)
		err = pin_map(plane, skeleton->maps.hf_listeners, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_sweep, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_survey, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_probe, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_held, skeleton->maps.hf_sockets, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_settled, skeleton->maps.hf_sockets, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_held_here, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_settled_here, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_matched, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_owners, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_holders, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_strays, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_tasks, NULL, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_look, skeleton->maps.hf_sockets, e);
	if (!err)
		err = pin_iterator(plane, skeleton->progs.hf_look_here, NULL, e);
	return err;
}

/*
 * The tracepoint link can't be updated in place; for a moment both are there, and
 * struct hf_record.ended sees to it that no end is told twice. Where sockops hears of ends,
 * it is attached only if another program may keep it from that: it costs each connection.
 */
static int attach_ended(const struct plane *plane, const struct holdfast *skeleton, struct error *e)
{
	_cleanup_link_ struct bpf_link *link = NULL;
	const struct bpf_program *program = skeleton->progs.hf_ended;
	int err;

	if (!bpf_program__autoload(program)) {
		err = pins_drop(&plane->pins, PIN_ENDED_PROGRAM, e);
		return err ? err : pins_drop(&plane->pins, PIN_ENDED, e);
	}
	err = pins_put(&plane->pins, PIN_ENDED_PROGRAM, bpf_program__fd(program), e);
	if (err)
		return err;
	if (skeleton->rodata->hf_tell_by_sockops && !hook_has_foreign())
		return pins_drop(&plane->pins, PIN_ENDED, e);
	link = bpf_program__attach(program);
	if (!link)
		return error_set(e, errno, "can't attach to TCP state changes: %s",
				 strerror(errno));
	return pins_put(&plane->pins, PIN_ENDED, bpf_link__fd(link), e);
}

/*
 * All programs on the maps that are pinned. What an earlier daemon has attached
 * is replaced in place. The sockops link comes last: with it we are attached.
 */
static int attach_all(const struct plane *plane, const struct holdfast *skeleton,
		      const struct config *config, const struct target *target, struct error *e)
{
	struct hook_target where = {.path = target->path, .id = target->id};
	int guard = bpf_program__fd(skeleton->progs.hf_guard);
	int sockops = bpf_program__fd(skeleton->progs.hf_sockops);
	int err;

	err = pins_put(&plane->pins, PIN_GUARD_PROGRAM, guard, e);
	if (!err)
		err = attach_ended(plane, skeleton, e);
	if (!err && config_needs_guard(config))
		err = hook_attach(&plane->pins, PIN_GUARD, guard, BPF_CGROUP_SETSOCKOPT, &where, e);
	if (!err)
		err = hook_attach(&plane->pins, PIN_SOCKOPS, sockops, BPF_CGROUP_SOCK_OPS, &where,
				  e);
	if (!err && !config_needs_guard(config))
		err = hook_detach(&plane->pins, PIN_GUARD, e);
	return err;
}

static int fill_info(const struct plane *plane, const struct loader_options *options,
		     const struct target *target, bool attached_before, struct error *e)
{
	struct hf_info info = {0};
	int err;

	err = plane_get_info(plane, &info, e);
	if (err)
		return err;
	if (!attached_before)
		info.since_s = (uint64_t)time(NULL);
	info.cgroup_id = target->id;
	info.flags |= (plane->pins.made_dir ? HF_INFO_MADE_PIN_DIR : 0u) |
		      (plane->pins.mounted_bpffs ? HF_INFO_MOUNTED_BPFFS : 0u);
	snprintf(info.version, sizeof(info.version), "%s", options->version);
	memcpy(info.cgroup, target->path, sizeof(info.cgroup));
	return plane_set_info(plane, &info, e);
}

/*
 * New programs on the old maps. The rules go last, so that whatever fails
 * before leaves the old ones in force.
 */
static int take_over_pins(struct plane *plane, const struct loader_options *options,
			  const struct config *config, const struct target *target, struct error *e)
{
	__attribute__((cleanup(cleanup_skeleton))) struct holdfast *skeleton = NULL;
	struct hf_info info;
	int err, attached = 0;

	err = plane_open_maps(plane, e);
	if (!err)
		err = plane_get_info(plane, &info, e);
	if (!err)
		attached = plane_attached(plane, e);
	if (attached < 0)
		err = attached;
	if (!err)
		err = load(plane, target, true, &skeleton, e);
	if (!err)
		err = pin_iterators(plane, skeleton, e);
	if (!err)
		err = attach_all(plane, skeleton, config, target, e);
	if (!err)
		err = fill_info(plane, options, target, attached, e);
	if (!err) {
		err = plane_put_rules(plane, config, info.generation + 1, e);
		if (err)
			plane_set_info(plane, &info, NULL);
	}
	return err;
}

/* A set of pins of its own, made aside and moved into place; attached last. */
static int make_pins(struct plane *plane, const struct loader_options *options,
		     const struct config *config, const struct target *target, struct error *e)
{
	__attribute__((cleanup(cleanup_skeleton))) struct holdfast *skeleton = NULL;
	struct error ignored;
	int err;

	err = load(plane, target, false, &skeleton, e);
	if (err)
		return err;
	err = pins_begin(&plane->pins, e);
	if (err)
		return err;
	err = for_each_map(plane, skeleton, pin_map, e);
	if (!err)
		err = plane_open_maps(plane, e);
	if (!err)
		err = pin_iterators(plane, skeleton, e);
	if (!err)
		err = plane_put_rules(plane, config, 1, e);
	if (!err)
		err = fill_info(plane, options, target, false, e);
	if (!err)
		err = pins_commit(&plane->pins, e);
	if (!err)
		err = attach_all(plane, skeleton, config, target, e);
	if (err) { /* without what is loaded, whose descriptors clearing up may need */
		holdfast__destroy(take_ptr(skeleton));
		pins_remove(&plane->pins, false, &ignored);
	}
	return err;
}

/* All that an earlier daemon would have left, or it was interrupted and left nothing of use. */
static bool can_take_over(const struct plane *plane)
{
	return pins_has(&plane->pins, PIN_RULES) && pins_has(&plane->pins, PIN_GATE) &&
	       pins_has(&plane->pins, PIN_SOCKETS) && pins_has(&plane->pins, PIN_INFO) &&
	       pins_has(&plane->pins, PIN_COUNTERS) && pins_has(&plane->pins, PIN_ENDS) &&
	       pins_has(&plane->pins, PIN_TARGETS);
}

static int is_other(struct pins *other, void *arg)
{
	(void)other;
	(void)arg;
	return 1;
}

static int start_afresh(struct plane *plane, const struct loader_options *options,
			const struct config *config, const struct target *target, struct error *e)
{
	/* With an older layout in it, the pin dir is of our making too. */
	bool others = pins_each_other(&plane->pins, is_other, NULL, NULL);
	struct error ignored;
	int err;

	plane->pins.made_dir = plane->pins.made_dir || others;
	err = pins_remove(&plane->pins, false, e);
	if (!err)
		err = make_pins(plane, options, config, target, e);
	if (!err && others) {
		err = plane_release_others(plane, e);
		if (err)
			pins_remove(&plane->pins, false, &ignored);
	}
	if (err && plane->pins.made_dir)
		rmdir(plane->pins.dir);
	return err;
}

int loader_start(struct plane *plane, const struct loader_options *options,
		 const struct config *config, bool *took_over, struct error *e)
{
	struct target target = {0}; /* path goes into a map as it is */
	int err;

	*plane = (struct plane)PLANE_INIT;
	plane->progress = options->progress;
	err = find_target(options->cgroup, &target, e);
	if (err)
		return err;
	err = pins_lock(&plane->pins, options->pin_dir, e);
	if (err)
		return err;
	*took_over = can_take_over(plane);
	if (*took_over)
		err = take_over_pins(plane, options, config, &target, e);
	else
		err = start_afresh(plane, options, config, &target, e);
	if (err)
		plane_close(plane);
	return err;
}
