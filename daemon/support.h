/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the running kernel can't do for us, in words; from what could be pinned. */
#ifndef HOLDFAST_SUPPORT_H
#define HOLDFAST_SUPPORT_H

#include "plane.h"

#define SUPPORT_TEXT_MAX 512

/* Sockets that are there already can be held, by whichever way. */
bool support_adopts(const struct plane *plane);

/* One sentence, without a full stop, about what is missing. False: nothing is. */
bool support_limits(const struct plane *plane, char text[SUPPORT_TEXT_MAX]);

#endif
