/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Says in words how and when a held connection ended. */
#ifndef HOLDFAST_SOCKETS_CONNECTION_END_TEXT_H
#define HOLDFAST_SOCKETS_CONNECTION_END_TEXT_H

#include "bpf/types.h"

#include <stddef.h>
#include <stdint.h>

/* Writes the cause: "keepalive gave up: ...". */
void connection_end_text_cause(char *text, size_t size, const struct hf_ended *ended);

/*
 * Writes how long ago it ended, and if that was before this daemon began to listen, that no daemon
 * ran: " (12 min ago)", " (12 min ago, while no holdfastd ran)". Writes nothing if this daemon
 * listened and it was less than 10 s ago. Both times are of CLOCK_BOOTTIME.
 */
void connection_end_text_age(char *text, size_t size, const struct hf_ended *ended, uint64_t now_ns,
			     uint64_t began_ns);

#endif
