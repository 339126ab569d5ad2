/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the running kernel says of itself, and what it can do beyond its level (loader.c). */
#ifndef HOLDFAST_THIS_KERNEL_H
#define HOLDFAST_THIS_KERNEL_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

/* Its HZ: the jiffies of a second. -EINVAL. */
int kernel_hz(uint32_t *hz, struct error *e);

/* Whether bpf_setsockopt() knows TCP_BPF_SOCK_OPS_CB_FLAGS (6.12). */
bool kernel_can_mark(void);

/*
 * Whether hf_holders can be loaded: bpf_loop() is there since 5.17, bpf_probe_read_kernel()
 * unless the kernel is locked down for confidentiality.
 */
bool kernel_can_search(void);

/* Whether hf_survey may be loaded: the same, and bpf_rdonly_cast() (6.2). */
bool kernel_can_survey(void);

#endif
