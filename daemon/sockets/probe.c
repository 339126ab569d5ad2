// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/probe.h"

#include "base/clock.h"
#include "base/util.h"
#include "kernel/map_insert.h"
#include "sockets/existing.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

/* Puts cookies into the map until it is full. *filled is how many it took. */
static int fill(int map, const uint64_t *cookies, size_t n, uint32_t until, size_t *filled,
		struct error *e)
{
	int err = 0;

	for (*filled = 0; *filled < n; ++*filled) {
		err = map_insert(map, &cookies[*filled], &until, BPF_ANY);
		if (err)
			break;
	}
	return !err || err == -E2BIG
		       ? 0
		       : error_set(e, -err, "filling %s: %s", PIN_TARGETS, strerror(-err));
}

static void clear(int map, const uint64_t *cookies, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		bpf_map_delete_elem(map, &cookies[i]);
}

/* Removes all cookies: a full map has those of processes that were killed before clear(). */
static void clear_all(int map)
{
	uint64_t cookie, next;
	bool more = bpf_map_get_next_key(map, NULL, &cookie) == 0;

	while (more) {
		more = bpf_map_get_next_key(map, &cookie, &next) == 0;
		bpf_map_delete_elem(map, &cookie);
		cookie = next;
	}
}

static int ignore_record(const void *record, void *arg)
{
	(void)record;
	(void)arg;
	return 0;
}

/*
 * Probes if `refused` is given, sweeps otherwise. After a failure goes on with the next namespace,
 * and returns the first error.
 */
static int run(struct existing *existing, iter_fn refused, void *arg,
	       const struct netns_list *namespaces, struct error *e)
{
	struct error ignored;
	int err, first = 0;
	size_t i;

	for (i = 0; i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];
		struct error *told = first ? &ignored : e;

		data_plane_tick(existing->plane); /* doesn't stop the work: probes must end */
		err = refused ? existing_probe(existing, ns, refused, arg, told)
			      : existing_sweep(existing, ns, ignore_record, NULL, told);
		if (err && !first)
			first = err;
	}
	return first;
}

/*
 * Begins the probes (until: 0), or ends those that were to end by then. A socket is in the map only
 * while the iterator comes by, so cookies that don't fit into the map at once go there one mapful
 * after the other.
 */
static int probe_in_turns(struct existing *existing, int map, const struct netns_list *namespaces,
			  const uint64_t *cookies, size_t n, uint32_t until, iter_fn refused,
			  void *arg, struct error *e)
{
	struct error ignored;
	size_t at, filled;
	int err, first = 0;

	for (at = 0; at < n; at += filled) {
		struct error *told = first ? &ignored : e;

		err = fill(map, cookies + at, n - at, until, &filled, told);
		if (!err && !filled) {
			clear_all(map);
			err = fill(map, cookies + at, n - at, until, &filled, told);
		}
		if (!err && !filled)
			err = error_set(told, E2BIG, "%s stays full", PIN_TARGETS);
		if (err)
			return first ? first : err;
		err = run(existing, refused, arg, namespaces, told);
		first = first ? first : err;
		clear(map, cookies + at, filled);
	}
	return first;
}

int probe_begin(const struct data_plane *plane, const struct netns_list *namespaces,
		const uint64_t *cookies, size_t n, iter_fn refused, void *arg, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_TARGETS, e);
	struct existing existing = EXISTING_INIT(plane);
	int err;

	if (map < 0)
		return map;
	err = probe_in_turns(&existing, map, namespaces, cookies, n, 0,
			     refused ? refused : ignore_record, arg, e);
	existing_free(&existing);
	return err;
}

uint32_t probe_until(void)
{
	uint32_t ticks = (uint32_t)(clock_ns(CLOCK_MONOTONIC) >> HF_PROBE_SHIFT);

	return (ticks + HF_PROBE_TICKS + 1) | 1;
}

int probe_end(const struct data_plane *plane, const struct netns_list *namespaces,
	      const uint64_t *cookies, size_t n, uint32_t until, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_TARGETS, NULL);
	struct existing existing = EXISTING_INIT(plane);
	struct error ignored;
	int err, first = 0;

	/* The process that began the probes may have been killed before clear(). */
	if (map >= 0) {
		clear(map, cookies, n);
		first = probe_in_turns(&existing, map, namespaces, cookies, n, until, ignore_record,
				       NULL, e);
	}
	err = run(&existing, NULL, NULL, namespaces, first ? &ignored : e);
	existing_free(&existing);
	return first ? first : err;
}
