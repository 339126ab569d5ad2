/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs on cgroup hooks, by pinned links: attached, replaced in place, detached. */
#ifndef HOLDFAST_HOOK_H
#define HOLDFAST_HOOK_H

#include "pins.h"
#include "rules.h"

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

struct hook_target {
	const char *path; /* cgroup v2 directory */
	uint64_t id;	  /* its id */
};

/* Makes the program run on the hook, by a new link that is pinned under that name. */
int hook_attach(const struct pins *pins, const char *name, int program_fd,
		enum bpf_attach_type type, const struct hook_target *target, struct error *e);

/* Makes it run in the place of the pinned link's, in one step. *before: that one; NULL: no matter.
 */
int hook_replace(const struct pins *pins, const char *name, int program_fd, int *before,
		 struct error *e);

/*
 * Whether the pinned link is attached, as the link itself says. 1; 0: there is no such pin, or it
 * has been detached by force, or the cgroup has been removed; negative errno: that can't be found
 * out.
 */
int hook_attached(const struct pins *pins, const char *name, struct error *e);

/* Likewise whether it is attached to that cgroup. */
int hook_attached_to(const struct pins *pins, const char *name, const struct hook_target *target,
		     struct error *e);

/*
 * The id of another holdfast's program that runs on sockets of the same cgroup, attached to it,
 * above it or below it; 0: there is none, or it can't be found out. `name`: of our pinned link.
 */
uint32_t hook_find_other(const struct pins *pins, const char *name, const char *cgroup);

/*
 * Whether a sockops program is loaded that is no holdfast's: it may switch off that ours hears of
 * a socket's end. False also where that can't be found out.
 */
bool hook_has_foreign(void);

/*
 * Has the tracepoint of TCP state changes tell of ends, too (hf_ended of bpf/ended.bpf.c). 1: it
 * is attached now; 0: it was, or the kernel can't; negative errno.
 */
int hook_attach_ended(const struct pins *pins, struct error *e);

/* Detaches and removes the pin; nothing where there is none. */
int hook_detach(const struct pins *pins, const char *name, struct error *e);

/* Whether any rule wants applications kept from undoing it, and the guard is allowed. */
bool config_needs_guard(const struct config *config);

/*
 * Attaches the guard where this configuration needs it and it isn't attached: before the rules
 * are in force. 1: it has been; 0: there was nothing to do.
 */
int hook_need_guard(const struct pins *pins, const struct config *config,
		    const struct hook_target *target, struct error *e);

/* Detaches it where this configuration doesn't need it: after they are. */
int hook_spare_guard(const struct pins *pins, const struct config *config, struct error *e);

/* A program on the tracepoint that it was made for, by a link that is pinned under that name. */
int hook_attach_tracepoint(const struct pins *pins, const char *name, int program_fd,
			   struct error *e);

#endif
