// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast reload: asks the daemon to reload, waits for the outcome, prints it. */
#include "base/clock.h"
#include "kernel/text_map.h"
#include "verbs/command.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_NS	   (20L * 1000 * 1000)
#define GIVE_UP_US (90ull * 1000 * 1000)

static const char usage[] =
	"Usage: holdfast reload\n"
	"Asks the daemon to read its configuration again, and prints how that went.\n"
	"Exit status 1: the configuration has errors, the old rules stay in force.\n";

/* Finds the number that the next reload to begin will have when it ends. */
static int number_next(const struct data_plane *plane, uint64_t *number, struct error *e)
{
	struct kept_text before = {0};
	int err = text_map_get(&plane->pins, PIN_RELOAD, &before, e);

	if (err && err != -ENOENT)
		return err;
	*number = reload_number(before.number);
	free(before.text);
	return 0;
}

/* Waits until the reload with that number, or a later one, has ended. */
static int wait_outcome(const struct data_plane *plane, uint64_t number, struct kept_text *outcome,
			struct error *e)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t asked_us = monotonic_us();
	int err;

	while (monotonic_us() - asked_us < GIVE_UP_US) {
		err = text_map_get(&plane->pins, PIN_RELOAD, outcome, e);
		if (err && err != -ENOENT)
			return err;
		if (!err && outcome->number >= number)
			return 0;
		if (!err)
			free(outcome->text);
		if (!pins_holder(&plane->pins))
			return error_set(e, ESRCH, "the daemon went away before it had reloaded");
		nanosleep(&pause, NULL);
	}
	return error_set(e, ETIMEDOUT, "the daemon doesn't answer");
}

static int ask(const struct data_plane *plane)
{
	struct kept_text outcome;
	struct error e = {0};
	uint64_t number;
	pid_t pid;
	bool well;

	pid = pins_holder(&plane->pins);
	if (!pid) {
		fputs("holdfast: the daemon is gone: start it instead\n", stderr);
		return STATUS_BROKEN;
	}
	if (number_next(plane, &number, &e))
		return command_failed(&e);
	if (kill(pid, SIGHUP) < 0) {
		error_set(&e, errno, "can't ask the daemon, process %d: %s", (int)pid,
			  strerror(errno));
		return command_failed(&e);
	}
	if (wait_outcome(plane, number, &outcome, &e))
		return command_failed(&e);
	well = outcome.status == 0;
	fputs(outcome.text, well ? stdout : stderr);
	free(outcome.text);
	return well ? STATUS_OK : STATUS_NOT_WELL;
}

int reload_main(const struct command *command, int argc, char **argv)
{
	struct data_plane plane = DATA_PLANE_INIT;
	int status;

	status = command_no_arguments(argc, argv, usage);
	if (status >= 0)
		return status;
	status = command_open(command, NULL, &plane);
	if (status)
		return status;
	status = ask(&plane);
	data_plane_close(&plane);
	return status;
}
