// SPDX-License-Identifier: GPL-2.0-or-later
#include "existing.h"

#include "adopt.h"
#include "util.h"

#include <bpf/bpf.h>

static int ignore_record(const void *record, void *arg)
{
	(void)record;
	(void)arg;
	return 0;
}

void existing_free(struct existing *existing)
{
	adopter_free(&existing->adopter);
}

bool existing_by_kernel(const struct plane *plane)
{
	return pins_has(&plane->pins, PIN_SWEEP);
}

int existing_sweep(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		   struct error *e)
{
	if (existing_by_kernel(existing->plane))
		return plane_iterate(existing->plane, PIN_SWEEP, ns, sizeof(struct hf_sweep), fn,
				     arg, e);
	return adopt_sweep(&existing->adopter, ns, fn, arg, e);
}

int existing_probe(struct existing *existing, const struct netns *ns, struct error *e)
{
	if (existing_by_kernel(existing->plane))
		return plane_iterate(existing->plane, PIN_PROBE, ns, sizeof(struct hf_sweep),
				     ignore_record, NULL, e);
	return adopt_probe(&existing->adopter, ns, e);
}

void existing_forget_listeners(const struct plane *plane)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_LISTENERS, NULL);
	struct hf_listener key;

	while (map >= 0 && bpf_map_get_next_key(map, NULL, &key) == 0 &&
	       bpf_map_delete_elem(map, &key) == 0)
		;
}

int existing_matched(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		     struct error *e)
{
	if (pins_has(&existing->plane->pins, PIN_MATCHED))
		return plane_iterate(existing->plane, PIN_MATCHED, ns, sizeof(struct hf_view), fn,
				     arg, e);
	return adopt_matched(&existing->adopter, ns, fn, arg, e);
}
