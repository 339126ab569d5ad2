/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every socket that a rule matches, as the kernel has it at one moment: the
 * pinned iterators' views (what is set on the socket), sock_diag (its timers)
 * and its owners, joined by socket cookie.
 */
#ifndef HOLDFAST_SNAPSHOT_H
#define HOLDFAST_SNAPSHOT_H

#include "owners.h"
#include "plane.h"
#include "sockdiag.h"
#include "support.h"
#include "verdict.h"

struct snapshot_socket {
	struct diag_socket diag;
	struct hf_keepalive now; /* in force, read from the socket itself */
	uint64_t netns;		 /* inode */
	int64_t received_ms;	 /* CLOCK_MONOTONIC when a packet came from the peer last */
	const struct rule *rule; /* of snapshot.config */
	enum hf_side side;
	enum verdict verdict;
	const char *cgroup; /* escaped, owned by the snapshot; NULL: removed, or not known */
	const struct owner *owners; /* n_owners of them, owned by the snapshot */
	size_t n_owners;
};

struct snapshot {
	struct hf_info info;
	bool attached;
	bool guard;		       /* the guard is attached */
	bool adopts;		       /* sockets that are there already can be held */
	char limits[SUPPORT_TEXT_MAX]; /* what the kernel can't do; empty: nothing */
	pid_t daemon_pid;	       /* 0: none */
	uint64_t period_s;	       /* of the daemon's full passes; 0: none ran */
	uint32_t generation;
	struct config config;
	struct snapshot_socket *sockets; /* by rule, peer, local port */
	size_t n, room;
	struct owners owners;
	struct cgroup_name *cgroups;
	size_t n_cgroups;
	int64_t asked_ms; /* CLOCK_MONOTONIC of the sock_diag dump under way */
};

/* Takes one; snapshot_free() frees it. Negative errno; -EAGAIN: reloads kept coming. */
int snapshot_take(const struct plane *plane, struct snapshot *snapshot, struct error *e);

/* The same without cgroups and owners, which take a look at every open file of the host. */
int snapshot_take_sockets(const struct plane *plane, struct snapshot *snapshot, struct error *e);
void snapshot_free(struct snapshot *snapshot);

/*
 * Adds a socket of a namespace to a snapshot that has its configuration and generation, as
 * sock_diag and one of the view iterators have it; left out where no rule matches any more.
 * -ENOMEM; -ESTALE: the view is of other rules than the snapshot's.
 */
int snapshot_add(struct snapshot *snapshot, const struct diag_socket *diag,
		 const struct hf_view *view, uint64_t netns);

/*
 * When the next probe is due, in ms from now, unless something is received
 * before. -1: keepalive is off, or the retransmission timer runs instead.
 */
int64_t snapshot_next_probe_ms(const struct snapshot_socket *socket);

#endif
