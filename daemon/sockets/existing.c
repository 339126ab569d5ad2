// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/existing.h"

#include "base/util.h"
#include "host/iterate.h"
#include "sockets/old/old.h"

#include <bpf/bpf.h>

void existing_free(struct existing *existing)
{
	old_round_free(&existing->round);
}

bool existing_by_kernel(const struct data_plane *plane)
{
	return pins_has(&plane->pins, PIN_SWEEP);
}

int existing_sweep(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		   struct error *e)
{
	if (existing_by_kernel(existing->plane))
		return iterate_netns(existing->plane, PIN_SWEEP, ns, sizeof(struct hf_sweep), fn,
				     arg, e);
	return old_sweep(&existing->round, ns, fn, arg, e);
}

int existing_probe(struct existing *existing, const struct netns *ns, iter_fn fn, void *arg,
		   struct error *e)
{
	if (existing_by_kernel(existing->plane))
		return iterate_netns(existing->plane, PIN_PROBE, ns, sizeof(struct hf_sweep), fn,
				     arg, e);
	return old_probe(&existing->round, ns, e); /* no fn: setsockopt(2) isn't refused */
}

void existing_forget_listeners(const struct data_plane *plane)
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
		return iterate_netns(existing->plane, PIN_MATCHED, ns, sizeof(struct hf_view), fn,
				     arg, e);
	return old_matched(&existing->round, ns, fn, arg, e);
}
