/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shows `holdfast preview` where it differs from `holdfast status`; its table is status_table(). */
#ifndef HOLDFAST_SHOW_PREVIEW_H
#define HOLDFAST_SHOW_PREVIEW_H

#include "sockets/filter.h"
#include "sockets/preview.h"

#include <stdio.h>

/* Prints the sockets that pass the filter as JSON to standard output. Returns 0 or -ENOMEM. */
int preview_json(const struct preview *preview, const struct filter *filter);

/*
 * Prints in one sentence how many of the sockets that pass the filter would be changed, by rule.
 * Returns 0 or -ENOMEM.
 */
int preview_print_changes(const struct preview *preview, const struct filter *filter, FILE *out);

#endif
