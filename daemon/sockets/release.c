// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/release.h"

#include "base/util.h"
#include "host/iterate.h"
#include "kernel/cgroup.h"
#include "kernel/hook.h"
#include "kernel/rules_map.h"
#include "sockets/closed.h"
#include "sockets/existing.h"
#include "sockets/survey.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

/*
 * Counts one that wasn't given back. Whether it has any of the rule's values the view doesn't tell:
 * one with settings of its own (HF_STATE_OWN) may have its keepalive switched on by holdfast.
 */
static int count_held(const void *record, void *arg)
{
	const struct hf_view *view = record;
	size_t *held = arg;

	if (!(view->flags &
	      HF_VIEW_SETTLED)) /* without rules, settled means that it never was held */
		(*held)++;
	return 0;
}

/*
 * Counts the namespaces that we couldn't enter and in which the survey finds a held socket, so one
 * socket in each. For kernels that refuse the iterator over all held sockets.
 */
static size_t count_out_of_reach(const struct data_plane *plane,
				 const struct netns_list *namespaces)
{
	struct survey survey;
	struct hf_info info;
	size_t left = 0, i, j;

	if (pins_has(&plane->pins, PIN_HELD) || data_plane_get_info(plane, &info, NULL))
		return 0;
	info.generation++; /* else the survey would take the dropped rules for those in force */
	if (data_plane_set_info(plane, &info, NULL))
		return 0;
	survey_take(plane, namespaces, &survey);
	for (i = 0; i < survey.todo.n; i++) {
		for (j = 0; j < namespaces->n && namespaces->list[j].inode != survey.todo.list[i];
		     j++)
			;
		/* The list is sorted, and may have the same inode more than once. */
		left += j == namespaces->n &&
			(!i || survey.todo.list[i] != survey.todo.list[i - 1]);
	}
	survey_free(&survey);
	return left;
}

static int restore_all(struct data_plane *plane, size_t *restored, size_t *left, struct error *e)
{
	struct existing existing = EXISTING_INIT(plane);
	struct given_back given_back = {0}, closed;
	struct netns_list namespaces;
	struct error ignored;
	int err, first = 0;
	size_t i;

	err = netns_find(&plane->pins, &namespaces, e);
	if (err)
		return err;
	for (i = 0; i < namespaces.n; i++) {
		data_plane_tick(plane); /* doesn't stop the work */
		err = existing_sweep(&existing, &namespaces.list[i], given_back_count, &given_back,
				     first ? &ignored : e);
		if (err && !first)
			first = err;
	}
	existing_free(&existing);
	err = closed_restore(plane, &closed, first ? &ignored : e);
	first = first ? first : err;
	*restored = given_back.restored + closed.restored;
	*left = given_back.failed + closed.failed + closed.left;
	err = iterate_all(plane, PIN_HELD, PIN_HELD_HERE, &namespaces, sizeof(struct hf_view),
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

/* What a holdfast with another layout has left. */
struct other {
	struct data_plane plane; /* only its pins and rules_fd are set */
	int trie;		 /* its rules that were in force; owned; negative: none */
};

struct others {
	struct other *list; /* owned */
	size_t n, room;
	struct progress progress;
	struct error *e;
};

static void cleanup_others(struct others *others)
{
	size_t i;

	for (i = 0; i < others->n; i++) {
		if (others->list[i].plane.rules_fd >= 0)
			close(others->list[i].plane.rules_fd);
		if (others->list[i].trie >= 0)
			close(others->list[i].trie);
	}
	free(others->list);
}

static int add_other(struct pins *pins, void *arg)
{
	struct others *others = arg;
	struct other *other;

	if (array_grow(&others->list, others->n, &others->room, sizeof(*other)))
		return error_set(others->e, ENOMEM, "out of memory");
	other = &others->list[others->n++];
	*other = (struct other){.plane = DATA_PLANE_INIT, .trie = -1};
	other->plane.progress = others->progress;
	other->plane.pins = *pins;
	other->plane.rules_fd = pins_get(pins, PIN_RULES, others->e);
	if (other->plane.rules_fd < 0)
		return other->plane.rules_fd == -ENOENT ? 0 : other->plane.rules_fd;
	other->trie = rules_map_trie(&other->plane, others->e);
	return other->trie < 0 && other->trie != -ENOENT ? other->trie : 0;
}

/* Runs the sweep of the other layout, whose records only its own programs can read. */
static int sweep_other(const struct other *other, const struct netns_list *namespaces,
		       struct error *e)
{
	size_t i;
	int err;

	for (i = 0; i < namespaces->n; i++) {
		data_plane_tick(&other->plane);
		err = iterate_netns(&other->plane, PIN_SWEEP, &namespaces->list[i], 1, ignore_byte,
				    NULL, e);
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

static int empty_other(const struct other *other, const struct netns_list *namespaces,
		       struct error *e)
{
	int err = other->trie < 0 ? 0 : rules_map_drop(&other->plane, e);

	return err ? err : sweep_other(other, namespaces, e);
}

static void fill_again(const struct other *other, const struct netns_list *namespaces)
{
	const uint32_t zero = 0;

	if (other->trie >= 0 &&
	    bpf_map_update_elem(other->plane.rules_fd, &zero, &other->trie, BPF_ANY) == 0)
		sweep_other(other, namespaces, NULL);
}

int release_others(const struct data_plane *plane, struct error *e)
{
	__attribute__((cleanup(cleanup_others))) struct others others = {
		.progress = plane->progress, .e = e};
	struct netns_list namespaces;
	size_t i, emptied = 0;
	int err;

	err = pins_each_other(&plane->pins, add_other, &others, e);
	if (err)
		return err;
	err = netns_find(&plane->pins, &namespaces, e);
	if (err)
		return err;
	while (!err && emptied < others.n)
		err = empty_other(&others.list[emptied++], &namespaces, e);
	for (i = 0; err && i < emptied; i++)
		fill_again(&others.list[i], &namespaces);
	netns_list_free(&namespaces);
	/* Without rules their programs do nothing, so a failure to remove them is ignored. */
	for (i = 0; !err && i < others.n; i++) {
		const struct pins *pins = &others.list[i].plane.pins;

		hook_detach(pins, PIN_SOCKOPS, NULL);
		hook_detach(pins, PIN_GUARD, NULL);
		pins_remove_folder(pins, NULL);
	}
	return err;
}

int release_all(struct data_plane *plane, bool remove_dir, size_t *restored, size_t *left,
		struct error *e)
{
	struct hf_info info = {0};
	struct error ignored;
	int err, first;

	*restored = *left = 0;
	data_plane_get_info(plane, &info, &ignored);
	first = rules_map_drop(plane, e);
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
	/* Our descriptor of the pin dir, which has the lock, would keep the mount busy. */
	pins_close(&plane->pins);
	if (!err && info.flags & HF_INFO_MOUNTED_BPFFS)
		umount2("/sys/fs/bpf", UMOUNT_NOFOLLOW); /* fails if others use it, and it stays */
	if (!err && strncmp(info.cgroup, CGROUP_OWN_MOUNT, strlen(CGROUP_OWN_MOUNT)) == 0)
		cgroup_unmount_own();
	return err;
}
