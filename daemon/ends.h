/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ends of held connections, as the kernel reports them: a line each that
 * tells the causes apart, which all look alike to the application.
 */
#ifndef HOLDFAST_ENDS_H
#define HOLDFAST_ENDS_H

#include "log.h"
#include "owners.h"
#include "plane.h"

struct ends; /* opaque */

/* log and plane must outlive it. Negative errno. */
int ends_open(struct ends **ends, const struct log *log, const struct plane *plane,
	      struct error *e);

/* Without a kernel that tells of ends: ends_take() does. NULL: out of memory. */
struct ends *ends_new(const struct log *log);
void ends_close(struct ends *ends);

/* The descriptor to wait on for input; ends keeps it. */
int ends_fd(const struct ends *ends);

/* Takes one record in, to be told. -ENOMEM. */
int ends_take(struct ends *ends, const void *record, size_t size);

/* Tells of what has been taken in: a line each, but for floods, of which it tells the number. */
void ends_tell(struct ends *ends, const struct config *config, const struct owners *owners);

/* Tells of what has ended since; config gives the rules their names. */
int ends_read(struct ends *ends, const struct config *config, struct error *e);

#endif
