// SPDX-License-Identifier: GPL-2.0-or-later
/* The way out, the same for SIGTERM and for `holdfast release`. */
#include "plane.h"

#include "cgroup.h"
#include "existing.h"
#include "hook.h"
#include "survey.h"
#include "util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

static int count_restored(const void *record, void *arg)
{
	const struct hf_sweep *sweep = record;
	size_t *restored = arg;

	if (sweep->what == HF_SWEPT_RESTORED)
		(*restored)++;
	return 0;
}

static int count_held(const void *record, void *arg)
{
	const struct hf_view *view = record;
	size_t *held = arg;

	if (!(view->flags & HF_VIEW_SETTLED)) /* else it never was ours */
		(*held)++;
	return 0;
}

/*
 * Where the kernel refuses the iterator over all held sockets: at least one in each namespace that
 * we couldn't enter, and where the survey has come to one.
 */
static size_t count_out_of_reach(const struct plane *plane, const struct netns_list *namespaces)
{
	struct survey survey;
	struct hf_info info;
	size_t left = 0, i, j;

	if (pins_has(&plane->pins, PIN_HELD) || plane_get_info(plane, &info, NULL))
		return 0;
	info.generation++; /* else it takes the rules that are gone for being in force */
	if (plane_set_info(plane, &info, NULL))
		return 0;
	survey_take(plane, namespaces, &survey);
	for (i = 0; i < survey.todo.n; i++) {
		for (j = 0; j < namespaces->n && namespaces->list[j].inode != survey.todo.list[i];
		     j++)
			;
		/* Sorted, but the same one may be there more than once. */
		left += j == namespaces->n &&
			(!i || survey.todo.list[i] != survey.todo.list[i - 1]);
	}
	survey_free(&survey);
	return left;
}

static int restore_all(struct plane *plane, size_t *restored, size_t *left, struct error *e)
{
	struct existing existing = EXISTING_INIT(plane);
	struct netns_list namespaces;
	struct error ignored;
	int err, first = 0;
	size_t i;

	err = netns_find(&plane->pins, &namespaces, e);
	if (err)
		return err;
	for (i = 0; i < namespaces.n; i++) {
		plane_tick(plane); /* it goes on to its end */
		err = existing_sweep(&existing, &namespaces.list[i], count_restored, restored,
				     first ? &ignored : e);
		if (err && !first)
			first = err;
	}
	existing_free(&existing);
	err = plane_iterate_all(plane, PIN_HELD, PIN_HELD_HERE, &namespaces, sizeof(struct hf_view),
				count_held, left, first ? &ignored : e);
	*left += count_out_of_reach(plane, &namespaces);
	netns_list_free(&namespaces);
	return first ? first : err;
}

static int ignore_byte(const void *record, void *arg)
{
	(void)record;
	(void)arg;
	return 0;
}

/* No rules any more, and off the hooks: what it holds stays as it is for now. */
static int let_go(struct pins *other, void *arg)
{
	struct plane plane = {.pins = *other, .rules_fd = -1, .info_fd = -1};
	struct error *e = arg;
	int err;

	plane.rules_fd = pins_get(other, PIN_RULES, e);
	if (plane.rules_fd >= 0) {
		plane_drop_rules(&plane, e);
		close(plane.rules_fd);
	}
	err = hook_detach(other, PIN_SOCKOPS, e);
	return err ? err : hook_detach(other, PIN_GUARD, e);
}

struct restoring {
	const struct plane *plane; /* ours */
	const struct netns_list *namespaces;
	struct error *e;
};

/* Its own sweep gives back what it holds; its records mean nothing to us. */
static int restore_and_remove(struct pins *other, void *arg)
{
	const struct restoring *restoring = arg;
	struct plane plane = {.pins = *other};
	size_t i;
	int err;

	for (i = 0; i < restoring->namespaces->n; i++) {
		plane_tick(restoring->plane);
		err = plane_iterate(&plane, PIN_SWEEP, &restoring->namespaces->list[i], 1,
				    ignore_byte, NULL, restoring->e);
		if (err && err != -ENOENT)
			return err;
	}
	return pins_remove_folder(other, restoring->e);
}

int plane_release_others(const struct plane *plane, struct error *e)
{
	struct netns_list namespaces;
	struct restoring restoring = {plane, &namespaces, e};
	int err;

	err = pins_each_other(&plane->pins, let_go, e, e);
	if (err)
		return err;
	err = netns_find(&plane->pins, &namespaces, e);
	if (err)
		return err;
	err = pins_each_other(&plane->pins, restore_and_remove, &restoring, e);
	netns_list_free(&namespaces);
	return err;
}

int plane_release(struct plane *plane, bool remove_dir, size_t *restored, size_t *left,
		  struct error *e)
{
	struct hf_info info = {0};
	struct error ignored;
	int err, first;

	*restored = *left = 0;
	plane_get_info(plane, &info, &ignored);
	first = plane_drop_rules(plane, e);
	err = hook_detach(&plane->pins, PIN_SOCKOPS, first ? &ignored : e);
	first = first ? first : err;
	err = hook_detach(&plane->pins, PIN_GUARD, first ? &ignored : e);
	first = first ? first : err;
	err = restore_all(plane, restored, left, first ? &ignored : e);
	first = first ? first : err;
	if (first)
		return first; /* the pins stay: another try may get further */

	remove_dir = remove_dir || plane->pins.made_dir || info.flags & HF_INFO_MADE_PIN_DIR;
	err = pins_remove(&plane->pins, remove_dir, e);
	/* Our own descriptor of the pin dir, and with it the lock, would keep the mount busy. */
	pins_close(&plane->pins);
	if (!err && info.flags & HF_INFO_MOUNTED_BPFFS)
		umount2("/sys/fs/bpf", UMOUNT_NOFOLLOW); /* stays where others use it */
	if (!err && strncmp(info.cgroup, CGROUP_OWN_MOUNT, strlen(CGROUP_OWN_MOUNT)) == 0)
		cgroup_unmount_own();
	return err;
}
