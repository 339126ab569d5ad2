/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists the BPF programs that are attached to control groups where they meet with holdfast's. */
#ifndef HOLDFAST_KERNEL_CGROUP_PROGRAMS_H
#define HOLDFAST_KERNEL_CGROUP_PROGRAMS_H

#include "base/error.h"

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

struct cgroup_program {
	const char *cgroup; /* the directory that it is attached to */
	const char *hook;   /* by libbpf's name: "cgroup_sock_ops" */
	uint32_t id;
	char name[BPF_OBJ_NAME_LEN]; /* empty: not known */
	bool exclusive;		     /* it keeps others out, at the control group and below it */
};

typedef void (*cgroup_program_fn)(const struct cgroup_program *program, void *arg);

/*
 * Calls `tell` for each program of the hooks for TCP state, setsockopt, getsockopt and connect, at
 * a directory of cgroup v2 and below it. Returns 0 or negative errno; a control group that is
 * removed meanwhile, or that may not be read, is left out.
 */
int cgroup_programs(const char *root, cgroup_program_fn tell, void *arg, struct error *e);

#endif
