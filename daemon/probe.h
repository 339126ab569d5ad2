/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keepalive probes now, on chosen sockets: begin shortens their keepalive time
 * to a second, and the kernel probes what has idled for longer; end puts the
 * rule's time back. For `holdfast probe`, and for a path that has moved.
 */
#ifndef HOLDFAST_PROBE_H
#define HOLDFAST_PROBE_H

#include "plane.h"

#include <stdint.h>

/*
 * Sockets by cookie; those without a record, or that are being probed as it is,
 * are left alone. probe_end() must follow, also where this one failed.
 */
int probe_begin(const struct plane *plane, const struct netns_list *namespaces,
		const uint64_t *cookies, size_t n, struct error *e);

/* Goes on to the next namespace after a failure, and reports the first. */
int probe_end(const struct plane *plane, const struct netns_list *namespaces,
	      const uint64_t *cookies, size_t n, struct error *e);

#endif
