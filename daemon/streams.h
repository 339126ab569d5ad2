/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The standard streams, which whoever started us may have closed, or sent to where it is full. */
#ifndef HOLDFAST_STREAMS_H
#define HOLDFAST_STREAMS_H

#include <stdbool.h>

/*
 * Sees to it that descriptors 0 to 2 are open: else what is opened next would lie there, and get
 * what is meant for people. Writing to those that were closed fails, as it did before.
 */
void streams_begin(void);

/* Whether all that was written to standard output has arrived; errno says why not, or is 0. */
bool streams_written(void);

#endif
