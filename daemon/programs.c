// SPDX-License-Identifier: GPL-2.0-or-later
#include "../bpf/types.h"

#include "holdfast.skel.h"
#include "programs.h"

#include "hook.h"
#include "util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

static void cleanup_link(struct bpf_link **link)
{
	bpf_link__destroy(*link);
}

#define _cleanup_link_ __attribute__((cleanup(cleanup_link)))

static int put_map(struct exchange *exchange, const struct bpf_map *map, struct error *e)
{
	return exchange_put(exchange, bpf_map__name(map), bpf_map__fd(map), e);
}

/* An iterator is a link too: attached to nothing, run when its pin is read. */
static int put_iterator(struct exchange *exchange, const struct bpf_program *program,
			const struct bpf_map *map, struct error *e)
{
	union bpf_iter_link_info info = {0};
	LIBBPF_OPTS(bpf_iter_attach_opts, options);
	_cleanup_link_ struct bpf_link *link = NULL;

	if (!bpf_program__autoload(program)) /* the kernel can't; nor may an earlier one's stay */
		return exchange_put(exchange, bpf_program__name(program), -1, e);
	if (map) {
		info.map.map_fd = (uint32_t)bpf_map__fd(map);
		options.link_info = &info;
		options.link_info_len = sizeof(info);
	}
	link = bpf_program__attach_iter(program, &options);
	if (!link)
		return error_set(e, errno, "can't make the iterator %s: %s",
				 bpf_program__name(program), strerror(errno));
	return exchange_put(exchange, bpf_program__name(program), bpf_link__fd(link), e);
}

static int put_iterators(struct exchange *exchange, const struct holdfast *skeleton,
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
	};
	size_t i;
	int err;

	/* What the iterators alone use, and only while they run: nothing to take over. */
	err = put_map(exchange, skeleton->maps.hf_wanted, e);
	if (!err)
		err = put_map(exchange, skeleton->maps.hf_listeners, e);
	for (i = 0; !err && i < ARRAY_SIZE(iterators); i++)
		err = put_iterator(exchange, iterators[i].program, iterators[i].map, e);
	return err;
}

/*
 * Attached from now on, as it takes a privilege that is given up before the rest is. Beside that
 * of an earlier daemon struct hf_record.ended sees to it that no end is told twice. Where sockops
 * hears of ends, it is attached only if another program may keep it from that: it costs each
 * connection.
 */
static int put_tracepoint(struct exchange *exchange, const struct holdfast *skeleton,
			  struct error *e)
{
	const struct bpf_program *program = skeleton->progs.hf_ended;
	int fd = bpf_program__autoload(program) ? bpf_program__fd(program) : -1;
	bool wanted = !skeleton->rodata->hf_tell_by_sockops || hook_has_foreign();
	int err = 0;

	if (fd >= 0 && wanted)
		err = hook_attach_tracepoint(&exchange->aside, PIN_ENDED, fd, e);
	if (!err)
		err = exchange_put(exchange, PIN_ENDED, -1, e);
	return err ? err : exchange_put(exchange, PIN_ENDED_PROGRAM, fd, e);
}

int programs_put(struct exchange *exchange, const struct holdfast *skeleton, struct error *e)
{
	int err = put_iterators(exchange, skeleton, e);

	if (!err)
		err = exchange_put(exchange, PIN_GUARD_PROGRAM,
				   bpf_program__fd(skeleton->progs.hf_guard), e);
	return err ? err : put_tracepoint(exchange, skeleton, e);
}
