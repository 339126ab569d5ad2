/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the keepalive options of a socket that this process has open. */
#ifndef HOLDFAST_HOST_SOCKET_OPTIONS_H
#define HOLDFAST_HOST_SOCKET_OPTIONS_H

#include "bpf/types.h"
#include "host/netns.h"

/* Reads the options in force, the network namespace's sysctls where nothing is set. */
void socket_options_read(int socket, struct hf_keepalive *now);

/*
 * Reads the sysctls of a namespace, which count where a socket has nothing set; on and
 * user_timeout_ms are 0. Returns 0 or negative errno.
 */
int socket_options_sysctls(const struct netns *ns, struct hf_keepalive *sysctls, struct error *e);

#endif
