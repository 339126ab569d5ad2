/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has the kernel send keepalive probes on chosen sockets at once, for `holdfast probe` and for a
 * path that has moved. probe_begin() sets their keepalive time to one second, and the kernel
 * probes those that have been idle for longer; probe_end() puts the rule's time back.
 */
#ifndef HOLDFAST_SOCKETS_PROBE_H
#define HOLDFAST_SOCKETS_PROBE_H

#include "host/netns.h"
#include "kernel/data_plane.h"
#include "kernel/iter.h"

#include <stdint.h>

/*
 * Begins to probe the sockets with these cookies, except those that have no record or are being
 * probed already. Calls refused, if it isn't NULL, with a struct hf_sweep for each socket on
 * which the kernel refuses to set the time. Returns 0 or a negative errno. The caller must call
 * probe_end() in either case.
 */
int probe_begin(const struct data_plane *plane, const struct netns_list *namespaces,
		const uint64_t *cookies, size_t n, iter_fn refused, void *arg, struct error *e);

/* Returns when probes that have been begun by now end at the latest, for probe_end(). */
uint32_t probe_until(void);

/*
 * Puts the keepalive time of these sockets back, except of those that somebody else has begun to
 * probe since: probes that end later than `until` go on. After a failure goes on with the next
 * namespace. Returns 0 or the first error, negative. Probes that nobody ends are over after 1.4 s:
 * the next pass then puts the time back.
 */
int probe_end(const struct data_plane *plane, const struct netns_list *namespaces,
	      const uint64_t *cookies, size_t n, uint32_t until, struct error *e);

#endif
