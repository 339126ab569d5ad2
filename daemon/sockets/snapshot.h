/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes a snapshot of every socket that a rule matches. It joins three sources by socket cookie:
 * the views of the pinned iterators (what is set on the socket), sock_diag (its timers), and the
 * owners of sockets.
 */
#ifndef HOLDFAST_SOCKETS_SNAPSHOT_H
#define HOLDFAST_SOCKETS_SNAPSHOT_H

#include "host/owner_search.h"
#include "host/sockdiag.h"
#include "kernel/data_plane.h"
#include "rules/host_window.h"
#include "rules/verdict.h"
#include "rules/window.h"
#include "sockets/support.h"

struct snapshot_socket {
	struct diag_socket diag;
	struct hf_keepalive now; /* in force, read from the socket itself */
	uint64_t netns;		 /* inode of its network namespace */
	int64_t received_ms;	 /* CLOCK_MONOTONIC when a packet came from the peer last */
	const struct rule *rule; /* in snapshot.config */
	enum hf_side side;
	enum verdict verdict;
	/* Preview: what it would have, owned by the preview; NULL: it would be left alone. */
	const struct hf_keepalive *would;
	const char *cgroup; /* escaped, owned by the snapshot; NULL: removed, or not known */
	const struct owner *owners; /* n_owners of them, owned by the snapshot */
	size_t n_owners;
};

struct snapshot {
	struct hf_info info;
	bool attached;
	bool guard;		       /* the guard is attached */
	bool adopts;		       /* existing sockets can be held */
	char limits[SUPPORT_TEXT_MAX]; /* what the kernel can't do; empty: nothing */
	pid_t daemon_pid;	       /* 0: no daemon runs */
	uint64_t period_s;	       /* between the daemon's full passes; 0: not known */
	uint32_t generation;	       /* of config */
	struct config config;
	struct window *windows;		 /* what each rule has learned, by its index; owned */
	struct host_window *hosts;	 /* what this host forgets of each; owned */
	struct snapshot_socket *sockets; /* sorted by rule, peer, local port; owned */
	size_t n, room;
	struct owners owners;
	struct cgroup_name *cgroups;
	size_t n_cgroups;
	int64_t asked_ms; /* CLOCK_MONOTONIC when the current sock_diag dump began */
};

/*
 * Takes a snapshot; snapshot_free() frees it. Returns 0, -EAGAIN if reloads kept coming, or
 * another negative errno.
 */
int snapshot_take(const struct data_plane *plane, struct snapshot *snapshot, struct error *e);

/*
 * Takes a snapshot without cgroups and owners: finding owners can take a look at every open file
 * of the host. Returns as snapshot_take() does.
 */
int snapshot_take_sockets(const struct data_plane *plane, struct snapshot *snapshot,
			  struct error *e);
void snapshot_free(struct snapshot *snapshot);

/*
 * Adds a socket to a snapshot whose configuration and generation are set, from what sock_diag and
 * a view iterator say of it. Leaves it out if no rule matches it any more. Returns 0, -ENOMEM, or
 * -ESTALE if the view is of other rules than the snapshot's.
 */
int snapshot_add(struct snapshot *snapshot, const struct diag_socket *diag,
		 const struct hf_view *view, uint64_t netns);

/*
 * Reads what the rules of snapshot->config have learned of their windows; plane may be NULL, then
 * that is nothing. Returns 0 or -ENOMEM.
 */
int snapshot_read_windows(const struct data_plane *plane, struct snapshot *snapshot,
			  struct error *e);

/* Sorts the sockets by rule, peer and local port. */
void snapshot_sort(struct snapshot *snapshot);

/*
 * Fills in the cgroups of the sockets; those that can't be found stay NULL. This and the next
 * functions are in snapshot_users.c, and for those who fill in a snapshot only.
 */
void snapshot_add_cgroups(struct snapshot *snapshot);
void snapshot_free_cgroups(struct snapshot *snapshot);

/*
 * Fills in the owners of the sockets. `holders` is an owner search that was begun before the
 * sockets were read. Returns 0 or a negative errno.
 */
int snapshot_add_owners(const struct data_plane *plane, const struct owner_search *holders,
			struct snapshot *snapshot, struct error *e);

/* Gives each socket its owners out of snapshot->owners. */
void snapshot_link_owners(struct snapshot *snapshot);

/*
 * Returns in how many ms the next probe is due if nothing is received before, or -1 if keepalive
 * is off or the retransmission timer runs instead.
 */
int64_t snapshot_next_probe_ms(const struct snapshot_socket *socket);

#endif
