/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells what the running kernel can't do for holdfast, judging by which pins there are. */
#ifndef HOLDFAST_SOCKETS_SUPPORT_H
#define HOLDFAST_SOCKETS_SUPPORT_H

#include "kernel/data_plane.h"

#define SUPPORT_TEXT_MAX 512

/* Tells whether existing sockets can be held, by iterators or by pidfd_getfd(2). */
bool support_adopts(const struct data_plane *plane);

/* Says what the kernel lacks, in a sentence without a full stop. False: it lacks nothing. */
bool support_limits(const struct data_plane *plane, char text[SUPPORT_TEXT_MAX]);

#endif
