/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What to do where nothing is attached: for whoever has asked, in one sentence. */
#ifndef HOLDFAST_ADVICE_H
#define HOLDFAST_ADVICE_H

#include <limits.h>
#include <sys/types.h>

enum advice_kind {
	ADVICE_START,	  /* no daemon runs */
	ADVICE_WAIT,	  /* one has the pin dir, or is going to: it is starting */
	ADVICE_ELSEWHERE, /* one has another pin dir, or one on a bpffs that isn't mounted here */
};

struct advice {
	enum advice_kind kind;
	pid_t pid;
	char text[PATH_MAX]; /* "start the daemon (systemctl start holdfast)" */
};

void advice_find(const char *pin_dir, struct advice *advice);

#endif
