/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps texts that outlive the daemon, each in a pinned map of its own. */
#ifndef HOLDFAST_KERNEL_TEXT_MAP_H
#define HOLDFAST_KERNEL_TEXT_MAP_H

#include "kernel/pins.h"

#include <stdint.h>

struct kept_text {
	uint64_t number; /* tells versions of the text apart */
	int status;	 /* of the writer's choice */
	char *text;	 /* without NULs; the caller's to free after text_map_get() */
};

/*
 * Makes a map that holds the text, and doesn't pin it. Returns a descriptor, the caller's to close,
 * or negative errno.
 */
int text_map_make(const char *name, const struct kept_text *text, struct error *e);

/* Pins the text under that name, in place of the one before. Returns 0 or negative errno. */
int text_map_put(const struct pins *pins, const char *name, const struct kept_text *text,
		 struct error *e);

/* Reads the text pinned under that name. Returns 0, -ENOENT if there is none, or another -errno. */
int text_map_get(const struct pins *pins, const char *name, struct kept_text *text,
		 struct error *e);

/*
 * Returns the number that PIN_RELOAD will have at the end of the next reload to begin; `now` is the
 * number that it has. The number is odd while a reload is under way, when the text is still that
 * of the reload before, and even when it has ended. Reloads are told apart by a number and not by
 * a clock because the daemon may be in a time namespace, time_namespaces(7).
 */
static inline uint64_t reload_number(uint64_t now)
{
	return now + 2 + now % 2;
}

#endif
