// SPDX-License-Identifier: GPL-2.0-or-later
#include "../bpf/types.h"

#include "holdfast.skel.h"
#include "install.h"

#include "cgroup.h"
#include "exchange.h"
#include "hook.h"
#include "loader.h"
#include "programs.h"
#include "util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

/* A program on a cgroup. */
struct hook {
	const char *name; /* of its link */
	enum bpf_attach_type type;
	int program; /* the skeleton's */
	bool wanted;
	bool there; /* the link that is pinned is on our cgroup */
	int before; /* its program, once ours is in its place; owned; -1: none */
};

enum { GUARD, SOCKOPS, N_HOOKS }; /* the sockops link comes last: with it we are attached */

struct install {
	struct plane *plane;
	struct loader_target target;
	struct holdfast *skeleton; /* owned */
	struct exchange exchange;
	struct hook hooks[N_HOOKS];
	struct hf_info before, info; /* what info says, and is to say */
	bool takes_over, others, committed;
};

/* All that goes into the pin dir besides the maps that a later daemon takes over, and the hooks. */
static int put_aside(struct install *install, const struct config *config, struct error *e)
{
	const struct holdfast *skeleton = install->skeleton;
	int guard = bpf_program__fd(skeleton->progs.hf_guard);
	int sockops = bpf_program__fd(skeleton->progs.hf_sockops);

	install->hooks[GUARD] = (struct hook){
		PIN_GUARD, BPF_CGROUP_SETSOCKOPT, guard, config_needs_guard(config), false, -1};
	install->hooks[SOCKOPS] =
		(struct hook){PIN_SOCKOPS, BPF_CGROUP_SOCK_OPS, sockops, true, false, -1};
	return programs_put(&install->exchange, skeleton, e);
}

static void plan_info(struct install *install, const struct install_options *options,
		      bool attached_before)
{
	const struct pins *pins = &install->plane->pins;
	struct hf_info *info = &install->info;

	*info = install->before;
	if (!attached_before)
		info->since_s = (uint64_t)time(NULL);
	info->cgroup_id = install->target.id;
	info->flags |= (pins->made_dir ? HF_INFO_MADE_PIN_DIR : 0u) |
		       (pins->mounted_bpffs ? HF_INFO_MOUNTED_BPFFS : 0u);
	snprintf(info->version, sizeof(info->version), "%s", options->version);
	memcpy(info->cgroup, install->target.path, sizeof(info->cgroup));
}

/* New programs for the old maps. */
static int prepare_take_over(struct install *install, const struct install_options *options,
			     const struct config *config, struct error *e)
{
	struct plane *plane = install->plane;
	int err, attached = 0;

	err = plane_open_maps(plane, e);
	if (!err)
		err = plane_get_info(plane, &install->before, e);
	if (!err)
		attached = plane_attached(plane, e);
	if (attached < 0)
		err = attached;
	if (!err)
		err = loader_load(plane, &install->target, true, &install->skeleton, e);
	if (!err)
		err = exchange_begin(&install->exchange, &plane->pins, e);
	if (!err)
		err = put_aside(install, config, e);
	plan_info(install, options, attached);
	return err;
}

static int put_map_to_keep(const struct plane *plane, struct bpf_map *map, struct error *e)
{
	return pins_put(&plane->pins, bpf_map__name(map), bpf_map__fd(map), e);
}

static int is_other(struct pins *other, void *arg)
{
	(void)other;
	(void)arg;
	return 1;
}

/* A set of pins of its own, with the rules; moved into place as a whole. */
static int prepare_afresh(struct install *install, const struct install_options *options,
			  const struct config *config, struct error *e)
{
	struct plane *plane = install->plane;
	int err;

	/* With an older layout in it, the pin dir is of our making too. */
	install->others = pins_each_other(&plane->pins, is_other, NULL, NULL) > 0;
	plane->pins.made_dir = plane->pins.made_dir || install->others;
	err = pins_remove(&plane->pins, false, e);
	if (!err)
		err = loader_load(plane, &install->target, false, &install->skeleton, e);
	if (!err)
		err = exchange_begin(&install->exchange, &plane->pins, e);
	if (err)
		return err;
	plane->pins = install->exchange.aside;
	err = loader_each_map(plane, install->skeleton, put_map_to_keep, e);
	if (!err)
		err = plane_open_maps(plane, e);
	if (!err)
		err = put_aside(install, config, e);
	if (!err)
		err = plane_put_rules(plane, config, 1, e);
	if (!err)
		err = plane_get_info(plane, &install->before, e);
	plan_info(install, options, false);
	return err ? err : plane_set_info(plane, &install->info, e);
}

/* All that an earlier daemon would have left, or it was interrupted and left nothing of use. */
static bool can_take_over(const struct plane *plane)
{
	return pins_has(&plane->pins, PIN_RULES) && pins_has(&plane->pins, PIN_GATE) &&
	       pins_has(&plane->pins, PIN_SOCKETS) && pins_has(&plane->pins, PIN_INFO) &&
	       pins_has(&plane->pins, PIN_COUNTERS) && pins_has(&plane->pins, PIN_ENDS) &&
	       pins_has(&plane->pins, PIN_TARGETS);
}

int install_prepare(struct install **out, struct plane *plane,
		    const struct install_options *options, const struct config *config,
		    struct error *e)
{
	struct install *install = calloc(1, sizeof(*install));
	int err;

	*plane = (struct plane)PLANE_INIT;
	plane->progress = options->progress;
	if (!install)
		return error_set(e, ENOMEM, "out of memory");
	install->plane = plane;
	err = loader_find_target(options->cgroup, &install->target, e);
	if (!err)
		err = pins_lock(&plane->pins, options->pin_dir, e);
	if (!err) {
		install->takes_over = can_take_over(plane);
		err = install->takes_over ? prepare_take_over(install, options, config, e)
					  : prepare_afresh(install, options, config, e);
	}
	if (err)
		install_end(install);
	else
		*out = install;
	return err;
}

bool install_takes_over(const struct install *install)
{
	return install->takes_over;
}

/* A new link beside those of an earlier daemon, where it has none on our cgroup. */
static int make_links(struct install *install, const struct hook_target *target, struct error *e)
{
	int i, there, err = 0;

	for (i = 0; !err && i < N_HOOKS; i++) {
		struct hook *hook = &install->hooks[i];

		if (!hook->wanted)
			continue;
		there = hook_attached_to(&install->plane->pins, hook->name, target, e);
		if (there < 0)
			return there;
		hook->there = there;
		if (there)
			continue;
		err = hook_attach(&install->exchange.aside, hook->name, hook->program, hook->type,
				  target, e);
		if (!err)
			err = exchange_put(&install->exchange, hook->name, -1, e);
	}
	return err;
}

static int replace_programs(struct install *install, struct error *e)
{
	int i, err = 0;

	for (i = 0; !err && i < N_HOOKS; i++) {
		struct hook *hook = &install->hooks[i];

		if (hook->there)
			err = hook_replace(&install->plane->pins, hook->name, hook->program,
					   &hook->before, e);
	}
	return err;
}

static void put_programs_back(struct install *install)
{
	int i;

	for (i = N_HOOKS; i-- > 0;) {
		struct hook *hook = &install->hooks[i];

		if (hook->before >= 0)
			hook_replace(&install->plane->pins, hook->name, hook->before, NULL, NULL);
	}
}

/*
 * The old maps, with new programs, with our rules. These go last: whatever fails before leaves
 * the old ones in force, and when they are in force nothing is left that could fail.
 */
static int take_over(struct install *install, const struct config *config,
		     const struct hook_target *target, struct error *e)
{
	struct plane *plane = install->plane;
	int err;

	err = make_links(install, target, e);
	if (!err)
		err = exchange_do(&install->exchange, e);
	if (!err)
		err = replace_programs(install, e);
	if (!err)
		err = plane_set_info(plane, &install->info, e);
	if (!err)
		err = plane_put_rules(plane, config, install->info.generation + 1, e);
	if (err) {
		plane_set_info(plane, &install->before, NULL);
		put_programs_back(install);
		exchange_undo(&install->exchange);
		return err;
	}
	exchange_detach_old(&install->exchange, PIN_GUARD);
	exchange_detach_old(&install->exchange, PIN_SOCKOPS);
	hook_spare_guard(&plane->pins, config, NULL); /* if not now, the next pass does it */
	return 0;
}

static int attach_afresh(struct install *install, const struct hook_target *target, struct error *e)
{
	struct plane *plane = install->plane;
	size_t restored, left;
	struct error ignored;
	int i, err;

	err = pins_commit(&plane->pins, e);
	for (i = 0; !err && i < N_HOOKS; i++) {
		const struct hook *hook = &install->hooks[i];

		if (hook->wanted)
			err = hook_attach(&plane->pins, hook->name, hook->program, hook->type,
					  target, e);
	}
	if (err || !install->others)
		return err;
	err = plane_release_others(plane, e);
	if (err) /* some may be held by now */
		plane_release(plane, false, &restored, &left, &ignored);
	return err;
}

int install_commit(struct install *install, const struct config *config, struct error *e)
{
	struct hook_target target = {.path = install->target.path, .id = install->target.id};
	int err = install->takes_over ? take_over(install, config, &target, e)
				      : attach_afresh(install, &target, e);

	install->committed = !err;
	return err;
}

/* Nothing of it is left, nor what had to be mounted for it. */
static void take_back(struct install *install)
{
	struct pins *pins = &install->plane->pins;
	struct error ignored;

	if (!install->takes_over && pins->fd >= 0) {
		/* Also where someone has them open. */
		hook_detach(pins, PIN_SOCKOPS, &ignored);
		hook_detach(pins, PIN_GUARD, &ignored);
		pins_remove(pins, pins->made_dir, &ignored);
	}
	plane_close(install->plane);
	if (pins->mounted_bpffs)
		umount2("/sys/fs/bpf", UMOUNT_NOFOLLOW);
	if (install->target.mounted)
		cgroup_unmount_own();
}

void install_end(struct install *install)
{
	int i;

	if (!install)
		return;
	for (i = 0; i < N_HOOKS; i++) {
		if (install->hooks[i].name && install->hooks[i].before >= 0)
			close(install->hooks[i].before);
	}
	exchange_end(&install->exchange);
	/* What is loaded goes first: clearing up may need its descriptors. */
	if (install->skeleton)
		loader_unload(install->skeleton);
	if (!install->committed)
		take_back(install);
	free(install);
}
