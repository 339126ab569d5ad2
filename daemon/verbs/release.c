// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * holdfast release: detaches and gives every socket back where the daemon is gone and its pins are
 * not, as the daemon does on SIGTERM.
 */
#include "verbs/command.h"

#include "base/textfile.h"
#include "base/util.h"
#include "kernel/rules_map.h"
#include "sockets/release.h"
#include "verbs/advice.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"Usage: holdfast release\n"
	"Detaches, gives every held socket its own settings back and removes the pins\n"
	"that a holdfastd which is gone has left. A running one: stop it instead.\n";

/* Removes the empty folders that a start which was killed half-way may have left. */
static void tidy(const char *pin_dir, bool ours)
{
	struct pins pins = PINS_INIT;

	if (access(pin_dir, F_OK) == 0 && pins_lock(&pins, pin_dir, NULL) == 0)
		pins_remove(&pins, ours || pins.made_dir, NULL);
	pins_close(&pins);
}

/* Says that nothing is attached, or if a daemon is about to attach, that it must be stopped. */
static int nothing(const char *pin_dir, bool ours, const struct error *e)
{
	struct advice advice;

	advice_find(pin_dir, &advice);
	if (advice.kind == ADVICE_WAIT) {
		fprintf(stderr, "holdfast: stop the daemon instead: process %d is starting\n",
			(int)advice.pid);
		return STATUS_BROKEN;
	}
	fprintf(stderr, "holdfast: nothing is attached (%s)%s%s\n", e->text,
		advice.kind == ADVICE_ELSEWHERE ? ": " : "",
		advice.kind == ADVICE_ELSEWHERE ? advice.text : "");
	tidy(pin_dir, ours);
	return STATUS_NOT_ATTACHED;
}

/*
 * Finds the metrics-textfile, which the daemon removes when it stops, in the configuration that is
 * kept beside the rules. The caller frees the path; NULL: there is none.
 */
static char *find_textfile(const struct data_plane *plane)
{
	struct config config;
	uint32_t generation;
	char *path;

	if (rules_map_config(plane, false, &config, &generation, NULL))
		return NULL;
	path = take_ptr(config.textfile);
	config_free(&config);
	return path;
}

int release_main(const struct command *command, int argc, char **argv)
{
	bool ours = strcmp(command->pin_dir, PINS_DEFAULT_DIR) == 0;
	_cleanup_free_ char *textfile = NULL;
	struct data_plane plane = DATA_PLANE_INIT;
	struct error e = {0};
	size_t restored, left;
	int status, err;

	status = command_no_arguments(argc, argv, usage);
	if (status >= 0)
		return status;
	if (!command_privileged())
		return STATUS_BROKEN;
	/* Opens the pins only to read first: pins_lock() would make a pin dir that is missing. */
	err = data_plane_open(&plane, command->pin_dir, &e);
	data_plane_close(&plane);
	if (err == -ENOENT)
		return nothing(command->pin_dir, ours, &e);
	if (err)
		return command_failed(&e);
	/* SIGHUP, from a terminal that is closed or from `holdfast reload`, must not interrupt
	 * this. */
	signal(SIGHUP, SIG_IGN);
	err = pins_lock(&plane.pins, command->pin_dir, &e);
	if (err == -EBUSY)
		error_prefix(&e, err, "stop the daemon instead");
	if (!err)
		err = data_plane_open_maps(&plane, &e);
	if (err == -ENOENT) { /* another `holdfast release` was faster */
		pins_remove(&plane.pins, ours || plane.pins.made_dir, NULL);
		data_plane_close(&plane);
		return nothing(command->pin_dir, ours, &e);
	}
	if (!err) {
		textfile = find_textfile(&plane);
		err = release_all(&plane, ours, &restored, &left, &e);
	}
	data_plane_close(&plane);
	if (err)
		return command_failed(&e);
	printf("detached; %zu connection%s given back\n", restored, restored == 1 ? "" : "s");
	if (textfile && textfile_drop(textfile, &e))
		return command_failed(&e);
	if (!left)
		return STATUS_OK;
	fprintf(stderr,
		"holdfast: %zu connection%s could not be reached and may keep the rules' values\n",
		left, left == 1 ? "" : "s");
	return STATUS_NOT_WELL;
}
