/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shows the results of `holdfast probe`, as a table or as JSON. */
#ifndef HOLDFAST_SHOW_PROBE_H
#define HOLDFAST_SHOW_PROBE_H

#include "sockets/snapshot.h"

enum probe_outcome {
	PROBE_WAITING, /* no answer yet; shown as silent */
	PROBE_ANSWERED,
	PROBE_GONE,    /* the connection ended meanwhile, by a reset for instance */
	PROBE_REFUSED, /* no probe was sent: the kernel refused to set the keepalive time */
};

struct probe_result {
	const struct snapshot_socket *socket; /* as it was before the probe */
	enum probe_outcome outcome;
	int64_t ms;	/* from probe to answer, as exact as the kernel's timer tick */
	unsigned round; /* the latest round that found the socket */
};

struct probe_results {
	struct probe_result *list; /* owned */
	size_t n;
	unsigned round; /* how often all sockets have been looked at */
};

/* Print the results to standard output. Return 0 or -ENOMEM. */
int probe_show_table(const struct probe_results *results);
int probe_show_json(const struct probe_results *results);

#endif
