/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a held connection has ended, and when, in words. */
#ifndef HOLDFAST_END_TEXT_H
#define HOLDFAST_END_TEXT_H

#include "../bpf/types.h"

#include <stddef.h>
#include <stdint.h>

/* Of its cause: "keepalive gave up: ...". */
void end_text_cause(char *text, size_t size, const struct hf_ended *ended);

/*
 * ", 12 min ago", and whether a daemon ran then; nothing where it was a moment ago. Both clocks
 * are CLOCK_BOOTTIME: now, and when this daemon began to listen.
 */
void end_text_age(char *text, size_t size, const struct hf_ended *ended, uint64_t now_ns,
		  uint64_t began_ns);

#endif
