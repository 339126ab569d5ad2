/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FILTER arguments: a rule's name, a peer's address or prefix, a verdict.
 * Several of one kind: any of them; of different kinds: each of them.
 */
#ifndef HOLDFAST_FILTER_H
#define HOLDFAST_FILTER_H

#include "snapshot.h"

struct filter {
	const char **rules; /* names, of the arguments; owned as an array */
	size_t n_rules;
	struct prefix *peers; /* owned */
	size_t n_peers;
	unsigned verdicts; /* bits 1 << enum verdict */
};

/* -EINVAL: one of them is none of these, and e says which. -ENOMEM. */
int filter_init(struct filter *filter, const struct config *config, int argc, char **argv,
		struct error *e);
void filter_free(struct filter *filter);

bool filter_takes(const struct filter *filter, const struct snapshot_socket *socket);

#endif
