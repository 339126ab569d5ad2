/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What adopt.c works with: the sockets of one network namespace, those with a
 * record as the look iterator has them and all that the rules' ports name as
 * sock_diag has them, and a hand on each.
 */
#ifndef HOLDFAST_ADOPTION_H
#define HOLDFAST_ADOPTION_H

#include "adopter.h"

struct looks {
	struct hf_look *list; /* of all namespaces; sorted by cookie; owned */
	size_t n, room;
};

struct diags {
	struct diag_socket *list; /* of this one; sorted by cookie; owned */
	size_t n, room;
};

/* One pass over one namespace. */
struct adoption {
	struct adopter *adopter;
	const struct netns *ns;
	iter_fn fn;
	void *arg;
	int sockets_fd; /* hf_sockets; owned */
	int failed;	/* the first failure that one socket had to be left alone for, or 0 */
	const char *failed_at; /* what it was */
	struct looks looks;
	struct diags diags;
	bool knows_listeners;	  /* the next one is filled in */
	struct numbers listeners; /* the ports that are listened on; sorted */
};

/* adoption_end() frees what it holds, also after a failure. */
int adoption_begin(struct adoption *adoption, struct adopter *adopter, const struct netns *ns,
		   iter_fn fn, void *arg, struct error *e);
void adoption_end(struct adoption *adoption);

/* Reads them, anew each time. Negative errno. */
int adoption_read_looks(struct adoption *adoption, struct error *e);
int adoption_read_diags(struct adoption *adoption, struct error *e);

/* Whether somebody listens on the port, of whatever address. False also where that isn't known. */
bool adoption_listens(struct adoption *adoption, uint16_t port);

/* By cookie; NULL: not among them. */
const struct hf_look *adoption_look(const struct adoption *adoption, uint64_t cookie);
const struct diag_socket *adoption_diag(const struct adoption *adoption, uint64_t cookie);

/* Remembers that a socket had to be left alone, but for -ENOENT: it is gone. Returns `err`. */
int adoption_skip(struct adoption *adoption, int err, const char *what);

/*
 * The socket itself: a descriptor, the caller's, or negative errno as grab_socket()
 * has it, remembered already.
 */
int adoption_grab(struct adoption *adoption, uint64_t cookie, uint32_t inode);

#endif
