/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes of a configuration's files what a daemon that reads them now would put in force. */
#ifndef HOLDFAST_SOCKETS_PREVIEW_CONFIG_H
#define HOLDFAST_SOCKETS_PREVIEW_CONFIG_H

#include "kernel/data_plane.h"
#include "rules/rules.h"

/*
 * Looks up the host names of the configuration, for five seconds at most, and gives rules with
 * `window = auto` the times that were learned. plane has what is known from before: addresses, and
 * what rules have learned; NULL: nothing is attached. Says on standard error which names have no
 * address. Returns 0 or negative errno.
 */
int preview_config(const struct data_plane *plane, struct config *config, struct error *e);

#endif
