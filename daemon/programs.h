/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pins of programs: each start has its own. */
#ifndef HOLDFAST_PROGRAMS_H
#define HOLDFAST_PROGRAMS_H

#include "exchange.h"

struct holdfast;

/*
 * Pins aside the iterators, what they alone use, the tracepoint, and the programs that may be
 * attached later: all but the programs on the cgroup.
 */
int programs_put(struct exchange *exchange, const struct holdfast *skeleton, struct error *e);

#endif
