/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pins the programs, which each start of the daemon loads and pins anew. */
#ifndef HOLDFAST_KERNEL_PROGRAM_PINS_H
#define HOLDFAST_KERNEL_PROGRAM_PINS_H

#include "kernel/pin_exchange.h"

struct holdfast;

/*
 * Pins all programs aside but those on the cgroup: the iterators with the maps that only they use,
 * the tracepoint's link, and the programs that may be attached later. Returns 0 or negative errno.
 */
int program_pins_put(struct pin_exchange *exchange, const struct holdfast *skeleton,
		     struct error *e);

#endif
