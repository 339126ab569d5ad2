/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verbs/ knows what each `holdfast VERB` does, in a file for each verb. It calls show/, sockets/
 * and what is below them.
 */

/* Declares the verbs of the `holdfast` command, and what they share. */
#ifndef HOLDFAST_VERBS_COMMAND_H
#define HOLDFAST_VERBS_COMMAND_H

#include "kernel/data_plane.h"

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

/* Runs a verb with its arguments; argv[0] is its name. Returns an exit status. */
typedef int (*verb_fn)(const struct command *command, int argc, char **argv);

int status_main(const struct command *command, int argc, char **argv);
int check_main(const struct command *command, int argc, char **argv);
int explain_main(const struct command *command, int argc, char **argv);
int metrics_main(const struct command *command, int argc, char **argv);
int probe_main(const struct command *command, int argc, char **argv);
int reload_main(const struct command *command, int argc, char **argv);
int release_main(const struct command *command, int argc, char **argv);
int preview_main(const struct command *command, int argc, char **argv);
int measure_main(const struct command *command, int argc, char **argv);
int report_main(const struct command *command, int argc, char **argv);

/*
 * Opens what is pinned. Returns STATUS_OK, and the caller calls data_plane_close(); or prints why
 * it can't and what to do, followed by `or_else` (NULL: nothing), and returns the exit status.
 */
int command_open(const struct command *command, const char *or_else, struct data_plane *plane);

/*
 * Prints that the pinned programs aren't attached any more and what to do, followed by `or_else`
 * (NULL: nothing). daemon: the one that runs, 0: none. Returns STATUS_NOT_ATTACHED.
 */
int command_not_attached(const struct command *command, pid_t daemon, const char *or_else);

/* Prints that no daemon runs, while what one has attached goes on. */
void command_say_daemon_gone(void);

/* Prints that sockets may be missing, if this process is in a container that hides others. */
void command_say_what_is_hidden(void);

/* Prints the error to standard error. Returns STATUS_BROKEN. */
int command_failed(const struct error *e);

/*
 * Parses the options of a verb that takes only --help. Returns -1 to go on, or the status to exit
 * with.
 */
int command_no_arguments(int argc, char **argv, const char *usage);

/*
 * Tells whether we have the capabilities to read and change the sockets of other processes. Prints
 * which are needed if not.
 */
bool command_privileged(void);

#endif
