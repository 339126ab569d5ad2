/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hf_sweep, hf_probe and hf_matched do, from user space: sock_diag gives a
 * socket's inode, /proc its owner, pidfd_getfd(2) the socket itself. For kernels
 * before 5.15, whose iterators can't set options (bpf_setsockopt() in a TCP
 * iterator: 3cee6fb8e69e), and for what 5.10 lacks besides: socket storage in a
 * TCP iterator.
 *
 * A socket is read (by the look iterator) and set a moment later, and not under
 * its lock as in the kernel: what an application sets in between is found to be
 * its own by the next pass.
 */
#ifndef HOLDFAST_ADOPT_H
#define HOLDFAST_ADOPT_H

#include "adopter.h"

/* As their namesakes in existing.h have it. Sockets that no process has open are left out. */
int adopt_sweep(struct adopter *adopter, const struct netns *ns, iter_fn fn, void *arg,
		struct error *e);
int adopt_probe(struct adopter *adopter, const struct netns *ns, struct error *e);
int adopt_matched(struct adopter *adopter, const struct netns *ns, iter_fn fn, void *arg,
		  struct error *e);

#endif
