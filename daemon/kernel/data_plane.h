/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kernel/ loads, pins and attaches the BPF programs and maps, and finds out what the running
 * kernel can do. It calls base/, rules/ and conf/.
 */

/*
 * The data plane is what enforces: the pinned programs, maps and iterators. The functions here
 * work on the pins alone, so that the daemon and the command do the same in the same way, even
 * when the daemon is dead. loader.h loads the programs, startup.h puts them in force.
 */
#ifndef HOLDFAST_KERNEL_DATA_PLANE_H
#define HOLDFAST_KERNEL_DATA_PLANE_H

#include "bpf/types.h"
#include "kernel/pins.h"

/* A callback for long work, called after each network namespace; non-zero ends the work. */
struct progress {
	int (*tick)(void *arg); /* NULL: none */
	void *arg;
};

struct data_plane {
	struct pins pins;
	struct progress progress; /* set by the user of the data plane */
	int rules_fd;		  /* owned */
	int info_fd;		  /* owned */
};

#define DATA_PLANE_INIT                                                                            \
	{                                                                                          \
		.pins = PINS_INIT, .rules_fd = -1, .info_fd = -1                                   \
	}

static inline int data_plane_tick(const struct data_plane *plane)
{
	return plane->progress.tick ? plane->progress.tick(plane->progress.arg) : 0;
}

/*
 * Opens what is pinned, to read it; data_plane_close() closes it. Returns 0; -ENOENT if nothing
 * is attached; -EACCES or -EPERM without permission; or what pins_open() returns.
 */
int data_plane_open(struct data_plane *plane, const char *pin_dir, struct error *e);

/* Opens the maps of plane->pins, which the caller has opened. Returns 0 or negative errno. */
int data_plane_open_maps(struct data_plane *plane, struct error *e);

/* Closes the descriptors; what is pinned stays in force. Safe on DATA_PLANE_INIT. */
void data_plane_close(struct data_plane *plane);

/*
 * Returns 1 if the sockops program is attached, as its pinned link says, and has rules; 0 if not;
 * negative errno if that can't be found out.
 */
int data_plane_attached(const struct data_plane *plane, struct error *e);

/* Read and write the entry of PIN_INFO. Return 0 or negative errno. */
int data_plane_get_info(const struct data_plane *plane, struct hf_info *info, struct error *e);
int data_plane_set_info(const struct data_plane *plane, const struct hf_info *info,
			struct error *e);

#endif
