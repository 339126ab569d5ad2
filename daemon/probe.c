// SPDX-License-Identifier: GPL-2.0-or-later
#include "probe.h"

#include "existing.h"
#include "util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

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

int probe_begin(const struct plane *plane, const struct netns_list *namespaces,
		const uint64_t *cookies, size_t n, struct error *e)
{
	int err = set_targets(plane, cookies, n, true, e);

	return err ? err : run(plane, true, namespaces, e);
}

int probe_end(const struct plane *plane, const struct netns_list *namespaces,
	      const uint64_t *cookies, size_t n, struct error *e)
{
	struct error ignored;
	int err, first;

	first = set_targets(plane, cookies, n, false, e);
	err = run(plane, false, namespaces, first ? &ignored : e);
	return first ? first : err;
}
