/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells a user in one sentence what to do where nothing is attached. */
#ifndef HOLDFAST_VERBS_ADVICE_H
#define HOLDFAST_VERBS_ADVICE_H

#include <limits.h>
#include <sys/types.h>

enum advice_kind {
	ADVICE_START,	  /* no daemon runs */
	ADVICE_WAIT,	  /* a daemon with this pin dir is starting */
	ADVICE_ELSEWHERE, /* a daemon has another pin dir, or a bpffs that isn't mounted here */
};

struct advice {
	enum advice_kind kind;
	pid_t pid;	     /* of that daemon; 0 with ADVICE_START */
	char text[PATH_MAX]; /* "start the daemon (systemctl start holdfast)" */
};

/* Looks for a daemon that runs or is starting, and fills in the advice. */
void advice_find(const char *pin_dir, struct advice *advice);

#endif
