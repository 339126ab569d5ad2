/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sockets/old/ does to sockets what no iterator of the kernel can. On kernels before 5.15 that is
 * everything that is done to existing ones; it can be removed once holdfast no longer supports
 * these kernels. On every kernel it gives closed sockets back. It calls host/, kernel/ and the
 * rooms below them.
 */

/*
 * Does from user space what hf_sweep, hf_probe and hf_matched do in the kernel: sock_diag gives a
 * socket's inode, /proc its owner, pidfd_getfd(2) the socket itself. The iterators of kernels
 * before 5.15 can't set options (bpf_setsockopt() in a TCP iterator: 3cee6fb8e69e), and those of
 * 5.10 can't use socket storage in a TCP iterator either.
 *
 * The look iterator reads a socket, and user space sets its options a moment later. The socket
 * isn't locked in between, as it is in the kernel's iterators. The next pass finds out that what
 * an application sets in between is the application's own.
 */
#ifndef HOLDFAST_SOCKETS_OLD_OLD_H
#define HOLDFAST_SOCKETS_OLD_OLD_H

#include "sockets/old/round.h"

/*
 * Do what existing_sweep(), existing_probe() and existing_matched() (existing.h) do, but leave out
 * sockets that no process has open. Return 0, what fn returned if that isn't 0, or negative errno.
 */
int old_sweep(struct old_round *round, const struct netns *ns, iter_fn fn, void *arg,
	      struct error *e);
int old_probe(struct old_round *round, const struct netns *ns, struct error *e);
int old_matched(struct old_round *round, const struct netns *ns, iter_fn fn, void *arg,
		struct error *e);

/*
 * Gives back the held sockets, of all namespaces, that aren't connected any more and that no rule
 * would hold if they were. Calls fn as old_sweep() does. Counts in *left those that couldn't be
 * brought into this process. Returns 0, what fn returned if that isn't 0, or negative errno.
 */
int old_restore_closed(struct old_round *round, iter_fn fn, void *arg, size_t *left,
		       struct error *e);

#endif
