/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attaches, replaces and detaches programs on cgroup hooks and a tracepoint, by pinned links. */
#ifndef HOLDFAST_KERNEL_HOOK_H
#define HOLDFAST_KERNEL_HOOK_H

#include "kernel/pins.h"
#include "rules/rules.h"

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

struct hook_target {
	const char *path; /* cgroup v2 directory */
	uint64_t id;	  /* its id */
};

/*
 * Attaches the program to the target's hook by a new link, and pins the link under that name.
 * Returns 0 or negative errno. If another program is attached exclusively, returns -EPERM and
 * names it in e.
 */
int hook_attach(const struct pins *pins, const char *name, int program_fd,
		enum bpf_attach_type type, const struct hook_target *target, struct error *e);

/*
 * Replaces the pinned link's program in one step. If `before` isn't NULL, *before gets a
 * descriptor of the former program, the caller's to close. Returns 0 or negative errno.
 */
int hook_replace(const struct pins *pins, const char *name, int program_fd, int *before,
		 struct error *e);

/*
 * Returns 1 if the pinned link is attached, as the link itself says; 0 if there is no such pin,
 * the link was detached by force or its cgroup was removed; negative errno if that can't be found
 * out.
 */
int hook_attached(const struct pins *pins, const char *name, struct error *e);

/* Returns 1 if the pinned link is attached to the target's cgroup; else as hook_attached() does. */
int hook_attached_to(const struct pins *pins, const char *name, const struct hook_target *target,
		     struct error *e);

/*
 * Returns the id of another holdfast's sockops program that runs on sockets of the same cgroup,
 * attached to the cgroup, above it or below it. Returns 0 if there is none or that can't be found
 * out. `name` is that of our own pinned link.
 */
uint32_t hook_find_other(const struct pins *pins, const char *name, const char *cgroup);

/*
 * Returns whether a sockops program that isn't holdfast's is loaded. Such a program may switch off
 * the state callback by which hf_sockops hears of a socket's end. Returns false if that can't be
 * found out.
 */
bool hook_has_foreign(void);

/*
 * Attaches hf_ended (bpf/ended.bpf.c) to the tracepoint of TCP state changes, so that it reports
 * ends too. Returns 1 if it has attached it; 0 if it was attached already or the kernel can't load
 * it; or negative errno.
 */
int hook_attach_ended(const struct pins *pins, struct error *e);

/* Detaches the pinned link and removes its pin. Returns 0, also if there is none, or -errno. */
int hook_detach(const struct pins *pins, const char *name, struct error *e);

/* Returns whether the guard is configured on and some rule needs it. */
bool config_needs_guard(const struct config *config);

/*
 * Attaches the guard if this configuration needs it and it isn't attached yet. The caller calls
 * this before it puts the rules in force. Returns 1 if the guard was attached, 0 if there was
 * nothing to do, or negative errno.
 */
int hook_need_guard(const struct pins *pins, const struct config *config,
		    const struct hook_target *target, struct error *e);

/*
 * Detaches the guard if this configuration doesn't need it. The caller calls this after it has put
 * the rules in force. Returns 0 or negative errno.
 */
int hook_spare_guard(const struct pins *pins, const struct config *config, struct error *e);

/*
 * Attaches a program to the tracepoint that it was loaded for, by a new link that is pinned under
 * that name. Returns 0 or negative errno.
 */
int hook_attach_tracepoint(const struct pins *pins, const char *name, int program_fd,
			   struct error *e);

#endif
