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
static int run(const struct plane *plane, bool probe, const struct netns_list *namespaces,
	       struct error *e)
{
	struct existing existing = EXISTING_INIT(plane);
	struct error ignored;
	int err, first = 0;
	size_t i;

	for (i = 0; i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];
		struct error *told = first ? &ignored : e;

		err = probe ? existing_probe(&existing, ns, told)
			    : existing_sweep(&existing, ns, ignore_record, NULL, told);
		if (err && !first)
			first = err;
	}
	existing_free(&existing);
	return first;
}

/* One look at a socket starts its probes: what doesn't fit into the map at once, goes in turns. */
int probe_begin(const struct plane *plane, const struct netns_list *namespaces,
		const uint64_t *cookies, size_t n, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_TARGETS, e);
	struct error ignored;
	size_t at = 0, filled;
	int err, first = 0;

	if (map < 0)
		return map;
	while (at < n) {
		err = fill(map, cookies + at, n - at, &filled, first ? &ignored : e);
		if (!err && !filled) {
			clear_all(map);
			err = fill(map, cookies + at, n - at, &filled, first ? &ignored : e);
		}
		if (err || !filled)
			return first ? first
			       : err ? err
				     : error_set(e, E2BIG, "%s is full", PIN_TARGETS);
		err = run(plane, true, namespaces, first ? &ignored : e);
		first = first ? first : err;
		clear(map, cookies + at, filled);
		at += filled;
	}
	return first;
}

int probe_end(const struct plane *plane, const struct netns_list *namespaces,
	      const uint64_t *cookies, size_t n, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_TARGETS, NULL);

	if (map >= 0) /* where whoever began was killed */
		clear(map, cookies, n);
	return run(plane, false, namespaces, e);
}
