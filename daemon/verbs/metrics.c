// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast metrics: prints counters and gauges in Prometheus text format. */
#include "verbs/command.h"

#include "show/metrics.h"

static int show(const struct data_plane *plane)
{
	struct metrics metrics;
	struct error e = {0};
	int status;

	if (metrics_take(plane, &metrics, &e))
		return command_failed(&e);
	metrics_write(&metrics, stdout);
	status = metrics.snapshot.attached ? STATUS_OK : STATUS_NOT_ATTACHED;
	metrics_free(&metrics);
	return status;
}

int metrics_main(const struct command *command, int argc, char **argv)
{
	static const char usage[] =
		"Usage: holdfast metrics\n"
		"Counters and gauges in Prometheus text format, on standard output.\n";
	struct data_plane plane = DATA_PLANE_INIT;
	int status;

	status = command_no_arguments(argc, argv, usage);
	if (status >= 0)
		return status;
	status = command_open(command, NULL, &plane);
	if (status == STATUS_NOT_ATTACHED)
		metrics_write_nothing(stdout);
	if (status)
		return status;
	status = show(&plane);
	data_plane_close(&plane);
	return status;
}
