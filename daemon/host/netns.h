/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host/ knows what the host has: network namespaces, processes, sockets, routes. It changes none
 * of them. It calls kernel/ and what is below it.
 */

/*
 * Finds and enters the host's network namespaces. A list of them lives no longer than a
 * reconcile pass or a command, since an open descriptor keeps the namespace of a container alive
 * after the container has ended. Where there are more namespaces than this process may have
 * descriptors, the last ones in the list have none, and are opened whenever they are needed.
 */
#ifndef HOLDFAST_HOST_NETNS_H
#define HOLDFAST_HOST_NETNS_H

#include "base/u64_set.h"
#include "kernel/pins.h"

#include <stdint.h>

/* With fd -1 the namespace is opened by its path, or if path is NULL by a socket of a process. */
struct netns {
	uint64_t inode;	 /* nsfs inode, as /proc/PID/ns/net shows it */
	int fd;		 /* owned; -1: opened when it is needed */
	char *path;	 /* owned; NULL: pid and socket are used instead */
	unsigned socket; /* descriptor of a socket in the process pid */
	pid_t pid;
};

struct netns_list {
	struct netns *list; /* the namespace of this process comes first; owned */
	size_t n;
	uint64_t hidden;  /* inode of one that only sockets keep alive and that couldn't be
			   * opened; 0: none */
	pid_t hidden_pid; /* a process that has such a socket */
	int hidden_errno; /* why its socket couldn't be taken, positive */
};

/*
 * Finds all network namespaces: those that a task is in (task iterator), those that are mounted
 * somewhere (`ip netns`, container engines), and those that only an open socket keeps alive
 * (task_file iterator or /proc, SIOCGSKNS). Leaves out namespaces that vanish meanwhile. Returns
 * 0 and a list for netns_list_free(), or a negative errno and an empty list.
 */
int netns_find(const struct pins *pins, struct netns_list *list, struct error *e);

void netns_list_free(struct netns_list *list);

/* Removes and frees all namespaces but those with these inodes, which are sorted. */
void netns_list_keep(struct netns_list *list, const struct u64_set *inodes);

/* Frees what one namespace owns. */
void netns_free(struct netns *ns);

/*
 * Returns a descriptor of the namespace, -ENOENT if a namespace without one in ns->fd has gone,
 * or another negative errno. The caller closes *owned, unless it is -1.
 */
int netns_open(const struct netns *ns, int *owned, struct error *e);

/*
 * Calls fn inside the namespace, comes back, and returns what fn returned, or a negative errno if
 * the namespace can't be entered. Aborts the process if it can't come back, since the process
 * would go on in a foreign namespace without knowing. What fn opens there (sockets, iterators)
 * stays bound to the namespace.
 */
int netns_call(const struct netns *ns, int (*fn)(void *arg), void *arg, struct error *e);

#endif
