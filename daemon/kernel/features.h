/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds out what the running kernel can do, beyond what the levels of loader.c cover. */
#ifndef HOLDFAST_KERNEL_FEATURES_H
#define HOLDFAST_KERNEL_FEATURES_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Gets the kernel's HZ, its jiffies per second. Returns 0, or -EINVAL if the kernel doesn't say. */
int kernel_hz(uint32_t *hz, struct error *e);

/* Returns whether bpf_setsockopt() knows TCP_BPF_SOCK_OPS_CB_FLAGS (6.12). */
bool kernel_can_mark(void);

/*
 * Returns whether hf_holders can be loaded. It needs bpf_loop() (5.17) and bpf_probe_read_kernel(),
 * which lockdown=confidentiality forbids.
 */
bool kernel_can_search(void);

/*
 * Returns whether hf_survey can be loaded. It needs what hf_holders needs, and bpf_rdonly_cast()
 * (6.2).
 */
bool kernel_can_survey(void);

#endif
