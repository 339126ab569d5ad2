// SPDX-License-Identifier: GPL-2.0-or-later
#include "bpf/types.h"

#include "holdfast.skel.h"
#include "kernel/program_pins.h"

#include "base/util.h"
#include "kernel/hook.h"
#include "kernel/loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

static void cleanup_link(struct bpf_link **link)
{
	bpf_link__destroy(*link);
}

#define _cleanup_link_ __attribute__((cleanup(cleanup_link)))

static int put_map(struct pin_exchange *exchange, const struct bpf_map *map, struct error *e)
{
	return pin_exchange_put(exchange, bpf_map__name(map), bpf_map__fd(map), e);
}

/*
 * Makes the link of an iterator and pins it aside. Such a link is attached to nothing: its program
 * runs when the pin is read.
 */
static int put_iterator(struct pin_exchange *exchange, const struct bpf_program *program,
			const struct bpf_map *map, struct error *e)
{
	union bpf_iter_link_info info = {0};
	LIBBPF_OPTS(bpf_iter_attach_opts, options);
	_cleanup_link_ struct bpf_link *link = NULL;

	if (!bpf_program__autoload(program)) /* not loaded: an earlier daemon's pin is removed */
		return pin_exchange_put(exchange, bpf_program__name(program), -1, e);
	if (map) {
		info.map.map_fd = (uint32_t)bpf_map__fd(map);
		options.link_info = &info;
		options.link_info_len = sizeof(info);
	}
	link = bpf_program__attach_iter(program, &options);
	if (!link)
		return error_set(e, errno, "can't make the iterator %s: %s",
				 bpf_program__name(program), strerror(errno));
	return pin_exchange_put(exchange, bpf_program__name(program), bpf_link__fd(link), e);
}

static int put_iterators(struct pin_exchange *exchange, const struct holdfast *skeleton,
			 struct error *e)
{
	const struct {
		const struct bpf_program *program;
		const struct bpf_map *map;
	} iterators[] = {
		/* loader_load() has made it. NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
		{skeleton->progs.hf_sweep, NULL},
		{skeleton->progs.hf_survey, NULL},
		{skeleton->progs.hf_probe, NULL},
		{skeleton->progs.hf_held, skeleton->maps.hf_sockets},
		{skeleton->progs.hf_settled, skeleton->maps.hf_sockets},
		{skeleton->progs.hf_held_here, NULL},
		{skeleton->progs.hf_settled_here, NULL},
		{skeleton->progs.hf_matched, NULL},
		{skeleton->progs.hf_owners, NULL},
		{skeleton->progs.hf_holders, NULL},
		{skeleton->progs.hf_strays, NULL},
		{skeleton->progs.hf_tasks, NULL},
		{skeleton->progs.hf_look, skeleton->maps.hf_sockets},
		{skeleton->progs.hf_look_here, NULL},
		{skeleton->progs.hf_closed, skeleton->maps.hf_sockets},
		{skeleton->progs.hf_closed_files, NULL},
	};
	size_t i;
	int err;

	/* Only running iterators use these two maps, so there is nothing to take over. */
	err = put_map(exchange, skeleton->maps.hf_wanted, e);
	if (!err)
		err = put_map(exchange, skeleton->maps.hf_listeners, e);
	for (i = 0; !err && i < ARRAY_SIZE(iterators); i++)
		err = put_iterator(exchange, iterators[i].program, iterators[i].map, e);
	return err;
}

/*
 * Attaches hf_ended to its tracepoint if it is needed, and pins its link and program aside. This
 * can fail, so it comes before the exchange. An earlier daemon's hf_ended may run beside the new
 * one; hf_record.ended keeps both from reporting the same end. If hf_sockops reports ends, hf_ended
 * is attached only if another sockops program may keep hf_sockops from doing so, because hf_ended
 * makes each connection on the host dearer.
 */
static int put_tracepoint(struct pin_exchange *exchange, const struct holdfast *skeleton,
			  struct error *e)
{
	const struct bpf_program *program = skeleton->progs.hf_ended;
	int fd = bpf_program__autoload(program) ? bpf_program__fd(program) : -1;
	bool wanted = !loader_tells_by_sockops(skeleton) || hook_has_foreign();
	int err = 0;

	if (fd >= 0 && wanted)
		err = hook_attach_tracepoint(&exchange->aside, PIN_ENDED, fd, e);
	if (!err)
		err = pin_exchange_put(exchange, PIN_ENDED, -1, e);
	return err ? err : pin_exchange_put(exchange, PIN_ENDED_PROGRAM, fd, e);
}

int program_pins_put(struct pin_exchange *exchange, const struct holdfast *skeleton,
		     struct error *e)
{
	int err = put_iterators(exchange, skeleton, e);

	if (!err)
		err = pin_exchange_put(exchange, PIN_GUARD_PROGRAM,
				       bpf_program__fd(skeleton->progs.hf_guard), e);
	return err ? err : put_tracepoint(exchange, skeleton, e);
}
