/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the daemon can count: its starts, reloads and reconcile passes. It
 * lies in a pinned map of its own, so that the numbers outlive the daemon, and
 * whoever wants them asks the kernel. The programs know nothing of it, so another
 * struct needs no new HF_LAYOUT: a map of another size is replaced, and counting
 * begins at zero.
 */
#ifndef HOLDFAST_STATS_H
#define HOLDFAST_STATS_H

#include "plane.h"
#include "reconcile.h"

/* How a reload went. */
enum stats_reload {
	STATS_RELOAD_APPLIED,
	STATS_RELOAD_REJECTED, /* the configuration has errors */
	STATS_RELOAD_FAILED,   /* something else broke */
	STATS_N_RELOADS,
};

/* What a pass did to a socket. */
enum stats_swept {
	STATS_SWEPT_HELD,
	STATS_SWEPT_CHANGED,
	STATS_SWEPT_HEALED,
	STATS_SWEPT_RESTORED,
	STATS_N_SWEPT,
};

/* Durations of passes are counted by these upper bounds, in microseconds, and above. */
#define STATS_N_BOUNDS 13
extern const uint32_t stats_bounds_us[STATS_N_BOUNDS];

struct stats {
	uint64_t starts;
	uint64_t started_s;		   /* CLOCK_REALTIME; of the latest start */
	uint64_t pid;			   /* of the daemon that counts, or did */
	uint64_t reloads[STATS_N_RELOADS]; /* by enum stats_reload */
	uint64_t last_reload;		   /* enum stats_reload; a start counts as one here */
	uint64_t applied_s; /* CLOCK_REALTIME; when the configuration in force was read */
	uint64_t passes[STATS_N_BOUNDS + 1]; /* by duration; the last one is above all bounds */
	uint64_t passes_us;		     /* how long they took in all */
	uint64_t incomplete;		     /* passes that left something out */
	uint64_t reconciled_s;	       /* CLOCK_REALTIME; end of the latest pass over everything */
	uint64_t namespaces;	       /* network namespaces that it looked at */
	uint64_t swept[STATS_N_SWEPT]; /* by enum stats_swept */
	uint64_t period_s; /* of full passes; longer than is configured where they take long */
};
_Static_assert(sizeof(struct stats) == 8 * 31, "struct stats has no holes, and is pinned");

/* The daemon's own copy, and the map that it writes it to. */
struct stats_map {
	struct stats now;
	int fd; /* owned; -1: none */
};

#define STATS_MAP_INIT                                                                             \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Goes on with what an earlier daemon has counted, or from zero. Needs the pin dir locked. */
int stats_open(struct stats_map *map, const struct plane *plane, struct error *e);
void stats_close(struct stats_map *map);

/* Counts, and writes to the map. Nothing where it isn't open: nobody is to fail for a number. */
void stats_count_start(struct stats_map *map);
void stats_set_period(struct stats_map *map, uint64_t period_s);
void stats_count_reload(struct stats_map *map, enum stats_reload how);
void stats_count_pass(struct stats_map *map, uint64_t us, bool all, bool complete,
		      const struct reconcile_result *result);

/* What is pinned; zeros where no daemon has counted anything. */
int stats_read(const struct plane *plane, struct stats *stats, struct error *e);

/* The daemon that has the pin dir; 0: none. As pins_holder(), and cheaper where it counts here. */
pid_t stats_daemon(const struct plane *plane);

#endif
