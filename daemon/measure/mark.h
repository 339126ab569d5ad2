/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has a daemon's programs leave a connection alone. */
#ifndef HOLDFAST_MEASURE_MARK_H
#define HOLDFAST_MEASURE_MARK_H

#include "base/error.h"

#include <stdint.h>

/*
 * The mark is in the socket's record, so that it ends with the socket, whoever is killed; nothing
 * else says so. Where nothing is pinned in pin_dir there is nothing to do. A daemon that starts
 * anew doesn't know of it. -EPROTO: another version of holdfast is there, whose records aren't ours
 * to write.
 */
int mark_left_alone(const char *pin_dir, int fd, uint64_t cookie, struct error *e);

#endif
