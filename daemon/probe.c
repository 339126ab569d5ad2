// SPDX-License-Identifier: GPL-2.0-or-later
#include "probe.h"

#include "existing.h"
#include "map_insert.h"
#include "util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

/* Puts in as many as there is room for: *filled. */
static int fill(int map, const uint64_t *cookies, size_t n, size_t *filled, struct error *e)
{
	const uint8_t yes = 1;
	int err = 0;

	for (*filled = 0; *filled < n; ++*filled) {
		err = map_insert(map, &cookies[*filled], &yes, BPF_ANY);
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

/* What others have left there who were killed. */
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

/* Probes or sweeps; goes on where one namespace fails. */
static int run(struct existing *existing, bool probe, const struct netns_list *namespaces,
	       struct error *e)
{
	struct error ignored;
	int err, first = 0;
	size_t i;

	for (i = 0; i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];
		struct error *told = first ? &ignored : e;

		plane_tick(existing->plane); /* what was begun has to be ended */
		err = probe ? existing_probe(existing, ns, told)
			    : existing_sweep(existing, ns, ignore_record, NULL, told);
		if (err && !first)
			first = err;
	}
	return first;
}

/* One look at a socket starts its probes: what doesn't fit into the map at once, goes in turns. */
static int probe_in_turns(struct existing *existing, int map, const struct netns_list *namespaces,
			  const uint64_t *cookies, size_t n, struct error *e)
{
	struct error ignored;
	size_t at, filled;
	int err, first = 0;

	for (at = 0; at < n; at += filled) {
		struct error *told = first ? &ignored : e;

		err = fill(map, cookies + at, n - at, &filled, told);
		if (!err && !filled) {
			clear_all(map);
			err = fill(map, cookies + at, n - at, &filled, told);
		}
		if (!err && !filled)
			err = error_set(told, E2BIG, "%s stays full", PIN_TARGETS);
		if (err)
			return first ? first : err;
		err = run(existing, true, namespaces, told);
		first = first ? first : err;
		clear(map, cookies + at, filled);
	}
	return first;
}

int probe_begin(const struct plane *plane, const struct netns_list *namespaces,
		const uint64_t *cookies, size_t n, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_TARGETS, e);
	struct existing existing = EXISTING_INIT(plane);
	int err;

	if (map < 0)
		return map;
	err = probe_in_turns(&existing, map, namespaces, cookies, n, e);
	existing_free(&existing);
	return err;
}

int probe_end(const struct plane *plane, const struct netns_list *namespaces,
	      const uint64_t *cookies, size_t n, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_TARGETS, NULL);
	struct existing existing = EXISTING_INIT(plane);
	int err;

	if (map >= 0) /* where whoever began was killed */
		clear(map, cookies, n);
	err = run(&existing, false, namespaces, e);
	existing_free(&existing);
	return err;
}
