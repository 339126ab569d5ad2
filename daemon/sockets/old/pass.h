/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pass over the sockets of one network namespace. It lists the sockets with a record, as the look
 * iterator has them, and the sockets whose ports the rules name, as sock_diag has them. It can
 * bring each of these sockets into this process.
 */
#ifndef HOLDFAST_SOCKETS_OLD_PASS_H
#define HOLDFAST_SOCKETS_OLD_PASS_H

#include "host/listeners.h"
#include "sockets/old/round.h"

struct looks {
	struct hf_look *list; /* of all network namespaces; sorted by cookie; owned */
	size_t n, room;
};

struct diags {
	struct diag_socket *list; /* of this network namespace; sorted by cookie; owned */
	size_t n, room;
};

struct old_pass {
	struct old_round *round;
	const struct netns *ns;
	iter_fn fn;
	void *arg;
	int sockets_fd; /* hf_sockets; owned */
	int failed;	/* negative errno of the first socket that had to be left alone, or 0 */
	const char *failed_at; /* what failed there; a string constant */
	struct looks looks;
	struct diags diags;
	bool knows_listeners;	    /* `listeners` is filled in */
	struct listeners listeners; /* owned */
};

#define OLD_PASS_INIT(round_, ns_, fn_, arg_)                                                      \
	{                                                                                          \
		.round = (round_), .ns = (ns_), .fn = (fn_), .arg = (arg_), .sockets_fd = -1       \
	}

/* Opens pass->sockets_fd, as old_pass_begin() does. Returns 0 or negative errno. */
int old_pass_open_sockets(struct old_pass *pass, struct error *e);

/*
 * Begins a pass over one network namespace. The caller calls old_pass_end(), also after a failure.
 * Returns 0 or negative errno.
 */
int old_pass_begin(struct old_pass *pass, struct old_round *round, const struct netns *ns,
		   iter_fn fn, void *arg, struct error *e);
void old_pass_end(struct old_pass *pass);

/* Read pass->looks and pass->diags. Return 0 or negative errno. */
int old_pass_read_looks(struct old_pass *pass, struct error *e);
int old_pass_read_diags(struct old_pass *pass, struct error *e);

/*
 * Reads into pass->looks the sockets of all namespaces that hf_closed finds (look.bpf.c). There are
 * none where its pin is missing. Returns 0 or negative errno.
 */
int old_pass_read_closed(struct old_pass *pass, struct error *e);

/* Copies the rule that the trie in force has for such a connection. Returns false if none does. */
bool old_pass_match(const struct old_pass *pass, __u8 family, const __u8 peer[16], __u16 local_port,
		    __u16 peer_port, enum hf_opener opener, struct hf_rule *rule,
		    enum hf_side *side);

/*
 * Returns who opened a connection: the peer if a socket listens that may have accepted it; else
 * `otherwise`, also if the listeners aren't known.
 */
enum hf_opener old_pass_opener(struct old_pass *pass, __u8 family, const __u8 local[16],
			       __u16 local_port, enum hf_opener otherwise);

/* Find a socket by its cookie in pass->looks or pass->diags. Return NULL if it isn't there. */
const struct hf_look *old_pass_look(const struct old_pass *pass, uint64_t cookie);
const struct diag_socket *old_pass_diag(const struct old_pass *pass, uint64_t cookie);

/*
 * Remembers in pass->failed that a socket had to be left alone. Ignores -ENOENT: that socket is
 * gone. Returns err.
 */
int old_pass_skip(struct old_pass *pass, int err, const char *what);

/*
 * Brings a socket into this process. Returns a descriptor, the caller's to close, or negative errno
 * as pidfd_socket_get() does, for which it has called old_pass_skip().
 */
int old_pass_get(struct old_pass *pass, uint64_t cookie, uint32_t inode);

#endif
