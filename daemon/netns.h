/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's network namespaces. Descriptors are held only for the length of a
 * pass: one kept open would keep a container's namespace alive after it. Where
 * there are more namespaces than the process may have descriptors, those of the
 * last ones are opened anew whenever they are needed.
 */
#ifndef HOLDFAST_NETNS_H
#define HOLDFAST_NETNS_H

#include "numbers.h"
#include "pins.h"

#include <stdint.h>

struct netns {
	uint64_t inode;	 /* of nsfs: what /proc/PID/ns/net shows */
	int fd;		 /* owned; -1: it is opened when it is needed: */
	char *path;	 /* here; owned; or where this is NULL, by */
	unsigned socket; /* this descriptor */
	pid_t pid;	 /* of this process */
};

struct netns_list {
	struct netns *list; /* ours comes first; owned */
	size_t n;
	uint64_t hidden;  /* one that only a socket keeps alive, and that can't be had; 0: none */
	pid_t hidden_pid; /* a process that has such a socket */
	int hidden_errno; /* why */
};

/*
 * Finds them all: those that a task is in (task iterator), those that are
 * mounted somewhere (`ip netns`, container engines), and those that only an
 * open socket keeps alive (task_file iterator or /proc, SIOCGSKNS). Namespaces that
 * vanish meanwhile are left out. On failure the list is empty.
 */
int netns_find(const struct pins *pins, struct netns_list *list, struct error *e);

void netns_list_free(struct netns_list *list);

/* Lets go of all that aren't among these inodes (sorted). */
void netns_list_keep(struct netns_list *list, const struct numbers *inodes);

/* Of one of them. */
void netns_free(struct netns *ns);

/*
 * A descriptor of it; *owned is what the caller has to close, -1: nothing.
 * -ENOENT: it has gone (where it is opened only now).
 */
int netns_open(const struct netns *ns, int *owned, struct error *e);

/*
 * Calls fn inside the namespace and comes back whatever it returned. If the
 * way back fails the process ends: it must never go on in a place that it
 * doesn't know of. What fn opened there (sockets, iterators) stays bound to it.
 */
int netns_call(const struct netns *ns, int (*fn)(void *arg), void *arg, struct error *e);

#endif
