/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts what only the daemon knows: its starts, reloads and reconcile passes. The numbers are in
 * a pinned map of their own, so they outlive the daemon, and the command reads them from the
 * kernel. The BPF programs don't use this map, so a change of struct daemon_stats needs no new
 * HF_LAYOUT: a map of another size is replaced, and counting begins at zero.
 */
#ifndef HOLDFAST_SOCKETS_DAEMON_STATS_H
#define HOLDFAST_SOCKETS_DAEMON_STATS_H

#include "kernel/data_plane.h"
#include "sockets/reconcile.h"

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

/* Passes are counted by duration: one counter for each upper bound, and one for longer passes. */
#define STATS_N_BOUNDS 13
extern const uint32_t daemon_stats_bounds_us[STATS_N_BOUNDS];

struct daemon_stats {
	uint64_t starts;
	uint64_t started_s;		   /* CLOCK_REALTIME; of the latest start */
	uint64_t pid;			   /* of the latest daemon */
	uint64_t reloads[STATS_N_RELOADS]; /* by enum stats_reload */
	uint64_t last_reload;		   /* enum stats_reload; a start counts as applied */
	uint64_t applied_s; /* CLOCK_REALTIME; when the configuration in force was read */
	uint64_t passes[STATS_N_BOUNDS + 1]; /* by duration; the last one is above all bounds */
	uint64_t passes_us;		     /* duration of all passes together */
	uint64_t incomplete;		     /* passes that left something out */
	uint64_t reconciled_s;	       /* CLOCK_REALTIME; end of the latest complete full pass */
	uint64_t namespaces;	       /* network namespaces that this pass looked at */
	uint64_t swept[STATS_N_SWEPT]; /* sockets, by enum stats_swept */
	uint64_t period_s;  /* between full passes; longer than configured if passes take long */
	uint64_t passed_ms; /* CLOCK_MONOTONIC; end of the latest full pass, whether or not it left
			     * something out; 0: none since the start */
};
_Static_assert(sizeof(struct daemon_stats) == 8 * 32,
	       "struct daemon_stats has no holes, and is pinned");

/* The daemon's own copy of the numbers, and the map that it writes them to. */
struct daemon_stats_map {
	struct daemon_stats now;
	int fd; /* owned; -1: none */
};

#define DAEMON_STATS_MAP_INIT                                                                      \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/*
 * Opens the map and reads what an earlier daemon has counted, or makes a new map of zeros. Needs
 * the pin dir locked. Returns 0 or a negative errno.
 */
int daemon_stats_open(struct daemon_stats_map *map, const struct data_plane *plane,
		      struct error *e);
void daemon_stats_close(struct daemon_stats_map *map);

/*
 * Each of these counts something, and writes the numbers to the map. They don't fail: without an
 * open map they only count.
 */
void daemon_stats_count_start(struct daemon_stats_map *map);
void daemon_stats_set_period(struct daemon_stats_map *map, uint64_t period_s);
void daemon_stats_count_reload(struct daemon_stats_map *map, enum stats_reload how);
void daemon_stats_count_pass(struct daemon_stats_map *map, uint64_t us, bool all, bool complete,
			     const struct reconcile_result *result);

/* Notes that a full pass ended at now_ms of CLOCK_MONOTONIC. */
void stats_note_passed(struct daemon_stats_map *map, uint64_t now_ms);

/* Reads the pinned numbers; zeros if no daemon has counted yet. Returns 0 or a negative errno. */
int daemon_stats_read(const struct data_plane *plane, struct daemon_stats *stats, struct error *e);

/*
 * Returns the PID of the daemon that has the pin dir locked, 0 if none has. Takes less time than
 * pins_holder() if that daemon's PID is in the map.
 */
pid_t daemon_stats_daemon(const struct data_plane *plane);

enum stats_state {
	STATS_GONE,	/* no daemon has the pin dir locked */
	STATS_STARTING, /* the daemon hasn't made its first full pass */
	STATS_LOOKING,	/* full passes come when they are due */
	STATS_HANGING,	/* full passes don't come any more */
};

/*
 * Judges by the pinned numbers whether the daemon that has the pin dir locked (0: none) does its
 * work. It hangs if no full pass has ended for three periods and half a minute.
 */
enum stats_state stats_judge(const struct daemon_stats *stats, pid_t daemon, uint64_t now_ms);

#endif
