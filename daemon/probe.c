// SPDX-License-Identifier: GPL-2.0-or-later
#include "probe.h"

#include "util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

static int ignore_record(const void *record, void *arg)
{
	(void)record;
	(void)arg;
	return 0;
}

static int set_targets(const struct plane *plane, const uint64_t *cookies, size_t n, bool add,
		       struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_TARGETS, e);
	const uint8_t yes = 1;
	size_t i;

	if (map < 0)
		return map;
	for (i = 0; i < n; i++) {
		if (!add)
			bpf_map_delete_elem(map, &cookies[i]);
		else if (bpf_map_update_elem(map, &cookies[i], &yes, BPF_ANY) < 0)
			return error_set(e, errno, "filling %s: %s", PIN_TARGETS, strerror(errno));
	}
	return 0;
}

static int run(const struct plane *plane, const char *iterator, const struct netns_list *namespaces,
	       struct error *e)
{
	struct error ignored;
	int err, first = 0;
	size_t i;

	for (i = 0; i < namespaces->n; i++) {
		err = plane_iterate(plane, iterator, &namespaces->list[i], sizeof(struct hf_sweep),
				    ignore_record, NULL, first ? &ignored : e);
		if (err && !first)
			first = err;
	}
	return first;
}

int probe_begin(const struct plane *plane, const struct netns_list *namespaces,
		const uint64_t *cookies, size_t n, struct error *e)
{
	int err = set_targets(plane, cookies, n, true, e);

	return err ? err : run(plane, PIN_PROBE, namespaces, e);
}

int probe_end(const struct plane *plane, const struct netns_list *namespaces,
	      const uint64_t *cookies, size_t n, struct error *e)
{
	struct error ignored;
	int err, first;

	first = set_targets(plane, cookies, n, false, e);
	err = run(plane, PIN_SWEEP, namespaces, first ? &ignored : e);
	return first ? first : err;
}
