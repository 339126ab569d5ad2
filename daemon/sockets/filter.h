/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parses and applies FILTER arguments: a rule's name, a peer's address or prefix, a verdict. A
 * socket passes if, of each kind that is given, at least one argument fits.
 */
#ifndef HOLDFAST_SOCKETS_FILTER_H
#define HOLDFAST_SOCKETS_FILTER_H

#include "sockets/snapshot.h"

struct filter {
	const char **rules; /* names; the array is owned, the names are the arguments */
	size_t n_rules;
	struct prefix *peers; /* owned */
	size_t n_peers;
	unsigned verdicts; /* bits 1 << enum verdict */
};

/*
 * Parses the arguments; filter_free() frees the result. Returns 0, -ENOMEM, or -EINVAL if one is
 * of no kind, and e says which.
 */
int filter_init(struct filter *filter, const struct config *config, int argc, char **argv,
		struct error *e);
void filter_free(struct filter *filter);

/* Tells whether the socket passes the filter. */
bool filter_takes(const struct filter *filter, const struct snapshot_socket *socket);

#endif
