// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast reload: asks the daemon to reload, waits for the outcome, prints it. */
#include "command.h"

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

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* The number of the first reload that begins after this. */
static int number_next(const struct plane *plane, uint64_t *number, struct error *e)
{
	struct plane_text before = {0};
	int err = plane_get_text(plane, PIN_RELOAD, &before, e);

	if (err && err != -ENOENT)
		return err;
	*number = reload_number(before.number);
	free(before.text);
	return 0;
}

/* Waits for the outcome of the reload of that number, or of a later one. */
static int wait_outcome(const struct plane *plane, uint64_t number, struct plane_text *outcome,
			struct error *e)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	uint64_t asked_us = now_us();
	int err;

	while (now_us() - asked_us < GIVE_UP_US) {
		err = plane_get_text(plane, PIN_RELOAD, outcome, e);
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

static int ask(const struct plane *plane)
{
	struct plane_text outcome;
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
	struct plane plane = PLANE_INIT;
	int status;

	status = command_no_arguments(argc, argv, usage);
	if (status >= 0)
		return status;
	status = command_open(command, NULL, &plane);
	if (status)
		return status;
	status = ask(&plane);
	plane_close(&plane);
	return status;
}
