// SPDX-License-Identifier: GPL-2.0-or-later
#include "bpf/types.h"

#include "holdfast.skel.h"
#include "startup.h"

#include "base/util.h"
#include "kernel/cgroup.h"
#include "kernel/hook.h"
#include "kernel/loader.h"
#include "kernel/pin_exchange.h"
#include "kernel/program_pins.h"
#include "kernel/rules_map.h"
#include "sockets/release.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>

/* A program to run on the cgroup. */
struct hook {
	const char *name; /* of the link's pin */
	enum bpf_attach_type type;
	int program; /* descriptor; owned by the skeleton */
	bool wanted; /* false: the configuration doesn't need the guard */
	bool there;  /* the pinned link is on our cgroup: only its program is replaced */
	int before;  /* the program that ours has replaced; owned; -1: none */
	int made;    /* the link that a take-over has made; owned; -1: none */
};

enum { GUARD, SOCKOPS, N_HOOKS }; /* sockops is last: with its link holdfast counts as attached */

struct startup {
	struct data_plane *plane;
	struct loader_target target;
	struct holdfast *skeleton; /* owned */
	struct pin_exchange exchange;
	struct hook hooks[N_HOOKS];
	struct hf_info before, info; /* the entry of PIN_INFO before the start, and after it */
	bool takes_over, others, committed;
};

/*
 * Fills in the hooks, and pins aside what the pin dir needs besides the maps that a later daemon
 * takes over.
 */
static int put_aside(struct startup *startup, const struct config *config, struct error *e)
{
	const struct holdfast *skeleton = startup->skeleton;
	int guard = bpf_program__fd(skeleton->progs.hf_guard);
	int sockops = bpf_program__fd(skeleton->progs.hf_sockops);

	startup->hooks[GUARD] = (struct hook){
		PIN_GUARD, BPF_CGROUP_SETSOCKOPT, guard, config_needs_guard(config), false, -1, -1};
	startup->hooks[SOCKOPS] =
		(struct hook){PIN_SOCKOPS, BPF_CGROUP_SOCK_OPS, sockops, true, false, -1, -1};
	return program_pins_put(&startup->exchange, skeleton, e);
}

static void plan_info(struct startup *startup, const struct startup_options *options,
		      bool attached_before)
{
	const struct pins *pins = &startup->plane->pins;
	struct hf_info *info = &startup->info;

	*info = startup->before;
	if (!attached_before)
		info->since_s = (uint64_t)time(NULL);
	info->cgroup_id = startup->target.id;
	info->flags |= (pins->made_dir ? HF_INFO_MADE_PIN_DIR : 0u) |
		       (pins->mounted_bpffs ? HF_INFO_MOUNTED_BPFFS : 0u);
	snprintf(info->version, sizeof(info->version), "%s", options->version);
	memcpy(info->cgroup, startup->target.path, sizeof(info->cgroup));
}

/* Loads new programs on the old maps, and pins them aside. */
static int prepare_take_over(struct startup *startup, const struct startup_options *options,
			     const struct config *config, struct error *e)
{
	struct data_plane *plane = startup->plane;
	int err, attached = 0;

	err = data_plane_open_maps(plane, e);
	if (!err)
		err = data_plane_get_info(plane, &startup->before, e);
	if (!err)
		attached = data_plane_attached(plane, e);
	if (attached < 0)
		err = attached;
	if (!err)
		err = loader_load(plane, &startup->target, true, &startup->skeleton, e);
	if (!err)
		err = pin_exchange_begin(&startup->exchange, &plane->pins, e);
	if (!err)
		err = put_aside(startup, config, e);
	plan_info(startup, options, attached);
	return err;
}

static int put_map_to_keep(const struct data_plane *plane, struct bpf_map *map, struct error *e)
{
	return pins_put(&plane->pins, bpf_map__name(map), bpf_map__fd(map), e);
}

static int is_other(struct pins *other, void *arg)
{
	(void)other;
	(void)arg;
	return 1;
}

/* Makes a new set of pins aside, with the rules in it. It is moved into place as a whole. */
static int prepare_afresh(struct startup *startup, const struct startup_options *options,
			  const struct config *config, struct error *e)
{
	struct data_plane *plane = startup->plane;
	int err;

	/* A pin dir with pins of another layout was made by holdfast, too. */
	startup->others = pins_each_other(&plane->pins, is_other, NULL, NULL) > 0;
	plane->pins.made_dir = plane->pins.made_dir || startup->others;
	err = pins_remove(&plane->pins, false, e);
	if (!err)
		err = loader_load(plane, &startup->target, false, &startup->skeleton, e);
	if (!err)
		err = pin_exchange_begin(&startup->exchange, &plane->pins, e);
	if (err)
		return err;
	plane->pins = startup->exchange.aside;
	err = loader_each_map(plane, startup->skeleton, put_map_to_keep, e);
	if (!err)
		err = data_plane_open_maps(plane, e);
	if (!err)
		err = put_aside(startup, config, e);
	if (!err)
		err = rules_map_put(plane, config, 1, e);
	if (!err)
		err = data_plane_get_info(plane, &startup->before, e);
	plan_info(startup, options, false);
	return err ? err : data_plane_set_info(plane, &startup->info, e);
}

/*
 * Tells whether there are all the maps that a daemon leaves. If some are missing, a start was
 * interrupted, and what it left is of no use.
 */
static bool can_take_over(const struct data_plane *plane)
{
	return pins_has(&plane->pins, PIN_RULES) && pins_has(&plane->pins, PIN_PORT_BITMAP) &&
	       pins_has(&plane->pins, PIN_SOCKETS) && pins_has(&plane->pins, PIN_INFO) &&
	       pins_has(&plane->pins, PIN_COUNTERS) && pins_has(&plane->pins, PIN_ENDS) &&
	       pins_has(&plane->pins, PIN_TARGETS);
}

int startup_prepare(struct startup **out, struct data_plane *plane,
		    const struct startup_options *options, const struct config *config,
		    struct error *e)
{
	struct startup *startup = calloc(1, sizeof(*startup));
	int err;

	*plane = (struct data_plane)DATA_PLANE_INIT;
	plane->progress = options->progress;
	if (!startup)
		return error_set(e, ENOMEM, "out of memory");
	startup->plane = plane;
	err = loader_find_target(options->cgroup, &startup->target, e);
	if (!err)
		err = pins_lock(&plane->pins, options->pin_dir, e);
	if (!err) {
		startup->takes_over = can_take_over(plane);
		err = startup->takes_over ? prepare_take_over(startup, options, config, e)
					  : prepare_afresh(startup, options, config, e);
	}
	if (err)
		startup_end(startup);
	else
		*out = startup;
	return err;
}

bool startup_takes_over(const struct startup *startup)
{
	return startup->takes_over;
}

/* Makes links for the hooks for which an earlier daemon has left none on our cgroup. */
static int make_links(struct startup *startup, const struct hook_target *target, struct error *e)
{
	int i, there, err = 0;

	for (i = 0; !err && i < N_HOOKS; i++) {
		struct hook *hook = &startup->hooks[i];

		if (!hook->wanted)
			continue;
		there = hook_attached_to(&startup->plane->pins, hook->name, target, e);
		if (there < 0)
			return there;
		hook->there = there;
		if (there)
			continue;
		err = hook_attach(&startup->exchange.aside, hook->name, hook->program, hook->type,
				  target, e);
		if (err)
			return err;
		hook->made = pins_get(&startup->exchange.aside, hook->name, e);
		err = hook->made < 0 ? hook->made
				     : pin_exchange_put(&startup->exchange, hook->name, -1, e);
	}
	return err;
}

/* Detaches them by force and at once: another process may have them open. */
static void detach_made(const struct startup *startup)
{
	int i;

	for (i = 0; i < N_HOOKS; i++) {
		if (startup->hooks[i].made >= 0)
			bpf_link_detach(startup->hooks[i].made);
	}
}

static int replace_programs(struct startup *startup, struct error *e)
{
	int i, err = 0;

	for (i = 0; !err && i < N_HOOKS; i++) {
		struct hook *hook = &startup->hooks[i];

		if (hook->there)
			err = hook_replace(&startup->plane->pins, hook->name, hook->program,
					   &hook->before, e);
	}
	return err;
}

static void put_programs_back(struct startup *startup)
{
	int i;

	for (i = N_HOOKS; i-- > 0;) {
		struct hook *hook = &startup->hooks[i];

		if (hook->before >= 0)
			hook_replace(&startup->plane->pins, hook->name, hook->before, NULL, NULL);
	}
}

/*
 * Puts the new programs on the old maps, and then the new rules. The rules come last: a failure
 * before leaves the old rules in force, and after that step nothing is left that could fail.
 */
static int take_over(struct startup *startup, const struct config *config,
		     const struct hook_target *target, struct error *e)
{
	struct data_plane *plane = startup->plane;
	int err;

	err = make_links(startup, target, e);
	if (!err)
		err = pin_exchange_do(&startup->exchange, e);
	if (!err)
		err = replace_programs(startup, e);
	if (!err)
		err = data_plane_set_info(plane, &startup->info, e);
	if (!err)
		err = rules_map_put(plane, config, startup->info.generation + 1, e);
	if (err) {
		data_plane_set_info(plane, &startup->before, NULL);
		put_programs_back(startup);
		detach_made(startup);
		pin_exchange_undo(&startup->exchange);
		return err;
	}
	pin_exchange_detach_old(&startup->exchange, PIN_GUARD);
	pin_exchange_detach_old(&startup->exchange, PIN_SOCKOPS);
	hook_spare_guard(&plane->pins, config, NULL); /* if this fails, the next pass does it */
	return 0;
}

static int attach_afresh(struct startup *startup, const struct hook_target *target, struct error *e)
{
	struct data_plane *plane = startup->plane;
	size_t restored, left;
	struct error ignored;
	int i, err;

	err = pins_commit(&plane->pins, e);
	for (i = 0; !err && i < N_HOOKS; i++) {
		const struct hook *hook = &startup->hooks[i];

		if (hook->wanted)
			err = hook_attach(&plane->pins, hook->name, hook->program, hook->type,
					  target, e);
	}
	if (err || !startup->others)
		return err;
	err = release_others(plane, e);
	if (err) /* our programs may hold some sockets by now */
		release_all(plane, false, &restored, &left, &ignored);
	return err;
}

int startup_commit(struct startup *startup, const struct config *config, struct error *e)
{
	struct hook_target target = {.path = startup->target.path, .id = startup->target.id};
	int err = startup->takes_over ? take_over(startup, config, &target, e)
				      : attach_afresh(startup, &target, e);

	startup->committed = !err;
	return err;
}

/* Removes what the start has made and mounted. */
static void take_back(struct startup *startup)
{
	struct pins *pins = &startup->plane->pins;
	struct error ignored;

	if (!startup->takes_over && pins->fd >= 0) {
		/* A link that someone has open would stay attached without its pin. */
		hook_detach(pins, PIN_SOCKOPS, &ignored);
		hook_detach(pins, PIN_GUARD, &ignored);
		pins_remove(pins, pins->made_dir, &ignored);
	}
	data_plane_close(startup->plane);
	if (pins->mounted_bpffs)
		umount2("/sys/fs/bpf", UMOUNT_NOFOLLOW);
	if (startup->target.mounted)
		cgroup_unmount_own();
}

void startup_end(struct startup *startup)
{
	int i;

	if (!startup)
		return;
	for (i = 0; i < N_HOOKS; i++) {
		if (startup->hooks[i].name && startup->hooks[i].before >= 0)
			close(startup->hooks[i].before);
		if (startup->hooks[i].name && startup->hooks[i].made >= 0)
			close(startup->hooks[i].made);
	}
	pin_exchange_end(&startup->exchange);
	/* The programs are unloaded first: take_back() may need the descriptors that this frees. */
	if (startup->skeleton)
		loader_unload(startup->skeleton);
	if (!startup->committed)
		take_back(startup);
	free(startup);
}
