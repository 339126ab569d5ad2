/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes `holdfast report`: what somebody who looks into a fault of holdfast has to know. */
#ifndef HOLDFAST_SHOW_REPORT_H
#define HOLDFAST_SHOW_REPORT_H

#include "kernel/data_plane.h"

#include <stdio.h>

/*
 * plane: what is pinned; NULL: nothing, and `nothing` says so in a sentence. plain: with addresses
 * and names as they are; else with pseudonyms. What can't be read is said in its place. Returns 0
 * or -ENOMEM.
 */
int report_write(const struct data_plane *plane, const char *nothing, bool plain, FILE *out);

#endif
