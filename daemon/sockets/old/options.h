/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets the keepalive options of a socket that this process has open. */
#ifndef HOLDFAST_SOCKETS_OLD_OPTIONS_H
#define HOLDFAST_SOCKETS_OLD_OPTIONS_H

#include <stdint.h>

/* Sets an option. Returns 0 or negative errno. */
int old_option_set(int socket, int level, int option, uint32_t value);

#endif
