/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handles standard streams that whoever started the program has closed, or has directed to a full
 * device. */
#ifndef HOLDFAST_BASE_STANDARD_STREAMS_H
#define HOLDFAST_BASE_STANDARD_STREAMS_H

#include <stdbool.h>

/*
 * Opens those of the descriptors 0 to 2 that are closed. Otherwise the files that are opened next
 * would get these numbers, and messages to the user would be written to them. Writing to a
 * descriptor that was closed still fails.
 */
void standard_streams_begin(void);

/* Flushes standard output. Returns whether everything that was written to it has arrived; if not,
 * errno says why, or is 0. */
bool standard_streams_written(void);

#endif
