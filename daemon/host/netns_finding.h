/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What netns.c and netns_in_proc.c share: a search for network namespaces that is under way. */
#ifndef HOLDFAST_HOST_NETNS_FINDING_H
#define HOLDFAST_HOST_NETNS_FINDING_H

#include "base/cookie_set.h"
#include "host/pidfd_socket.h"

#include <sys/resource.h>

struct netns_list;

struct finding {
	struct netns_list *list;
	struct pidfd_helper helper;
	struct cookie_set known; /* inodes of the namespaces in the list */
	rlim_t most;		 /* the list keeps descriptors below this number */
	uint32_t namespaces;	 /* how many the host has; 0: not known */
};

/* Begins to search; finding_end() follows. What the list has already counts as found. */
int finding_begin(struct finding *finding, struct netns_list *list);

/* Frees what the search owns. After a failure frees the list, too. Returns err. */
int finding_end(struct finding *finding, int err, struct error *e);

/* Adds our own namespace. Returns 0, also if it can't be opened, -ENOMEM or -EMFILE... */
int finding_add_own(struct finding *finding);

/*
 * Add a namespace, unless the list has it: that of a path, those that are mounted, and that of a
 * process's socket if it has this cookie (0: any socket will do). Leave out what has gone. Return
 * 0 or negative errno, finding_add_socket() also what pidfd_socket_get() does.
 */
int finding_add_path(struct finding *finding, char *path);
int finding_add_mounted(struct finding *finding);
int finding_add_socket(struct finding *finding, const struct owner *owner, uint64_t cookie);

#endif
