/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of the `holdfast` command share. */
#ifndef HOLDFAST_COMMAND_H
#define HOLDFAST_COMMAND_H

#include "plane.h"

/* Exit statuses, the same for every verb. */
enum {
	STATUS_OK = 0,
	STATUS_NOT_WELL = 1, /* what was asked about isn't as it should be */
	STATUS_USAGE = 2,
	STATUS_NOT_ATTACHED = 3,
	STATUS_BROKEN = 4, /* no permission, or something broke */
};

struct command {
	const char *pin_dir;
};

/* A verb: argv[0] is its name. Returns an exit status. */
typedef int (*verb_fn)(const struct command *command, int argc, char **argv);

int status_main(const struct command *command, int argc, char **argv);
int check_main(const struct command *command, int argc, char **argv);
int explain_main(const struct command *command, int argc, char **argv);
int metrics_main(const struct command *command, int argc, char **argv);
int probe_main(const struct command *command, int argc, char **argv);
int reload_main(const struct command *command, int argc, char **argv);
int release_main(const struct command *command, int argc, char **argv);

/*
 * Opens what is pinned, or says why not, and what to do, `or_else` behind it (NULL: nothing).
 * STATUS_OK: plane_close() is the caller's; else the status to exit with.
 */
int command_open(const struct command *command, const char *or_else, struct plane *plane);

/* Says that what is pinned isn't attached any more, and what to do. STATUS_NOT_ATTACHED. */
int command_not_attached(const struct command *command, pid_t daemon, const char *or_else);

/* Where we run in a container that hides processes: says that sockets may be missing. */
void command_say_what_is_hidden(void);

/* The sentence to standard error, and the status for a failure. */
int command_failed(const struct error *e);

/* Options of a verb that takes none but --help. -1: go on; else the status to exit with. */
int command_no_arguments(int argc, char **argv, const char *usage);

/* Whether we have what it takes to read and change other processes' sockets; says so if not. */
bool command_privileged(void);

#endif
