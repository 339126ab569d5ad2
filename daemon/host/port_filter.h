/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compiles the ports that rules name into the filter that the kernel runs on a socket dump. */
#ifndef HOLDFAST_HOST_PORT_FILTER_H
#define HOLDFAST_HOST_PORT_FILTER_H

#include "rules/rules.h"

#include <stddef.h>

struct inet_diag_bc_op;

struct port_filter {
	struct port_range *ranges[2]; /* by enum hf_side: the peer's ports, local ports; owned */
	size_t n[2];
};

/* Collects the ports of all rules; port_filter_free() frees them. Returns 0 or -ENOMEM. */
int port_filter_init(struct port_filter *filter, const struct config *config);
void port_filter_free(struct port_filter *filter);

/* Returns how many bytes the filter takes as inet_diag bytecode. */
size_t port_filter_size(const struct port_filter *filter);

/* Writes that bytecode to ops. Returns its size in bytes. */
size_t port_filter_compile(const struct port_filter *filter, struct inet_diag_bc_op *ops);

#endif
