// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast status: every socket that a rule matches, as the kernel has it now. */
#include "command.h"
#include "hook.h"
#include "status.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

struct options {
	bool json;
	bool headings;
	bool raw;
	const char *columns;
};

static void usage(FILE *out)
{
	fputs("Usage: holdfast status [-J | -o COLUMN,... | -n | -r] [FILTER...]\n"
	      "Every socket that a rule matches, as the kernel has it now.\n\n"
	      "  -J, --json           as JSON\n"
	      "  -o, --output LIST    these columns; +LIST adds to the usual ones\n"
	      "  -n, --noheadings     no heading\n"
	      "  -r, --raw            columns separated by one blank\n"
	      "  -h, --help           print this and exit\n\n"
	      "FILTER: a rule's name, a peer's address or prefix, a verdict.\n"
	      "Exit status 1: a socket that is shown is exposed or closed.\n\n"
	      "Columns:\n",
	      out);
	status_columns_help(out);
}

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'J'},	{"output", required_argument, NULL, 'o'},
		{"noheadings", no_argument, NULL, 'n'}, {"raw", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},	{0},
	};
	int option;

	*options = (struct options){.headings = true};
	while ((option = getopt_long(argc, argv, "Jo:nrh", known, NULL)) != -1) {
		switch (option) {
		case 'J':
			options->json = true;
			break;
		case 'o':
			options->columns = optarg;
			break;
		case 'n':
			options->headings = false;
			break;
		case 'r':
			options->raw = true;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	return -1;
}

static int show(const struct command *command, const struct snapshot *snapshot,
		const struct filter *filter, const struct options *options,
		const struct status_columns *columns)
{
	struct error e = {0};
	bool well = true;
	size_t i;
	int err;

	if (!snapshot->attached)
		command_not_attached(command, snapshot->daemon_pid, NULL);
	else if (!snapshot->daemon_pid)
		fputs("holdfast: the daemon is gone; the kernel goes on holding connections, "
		      "but nobody reconciles (start it, and it takes over)\n",
		      stderr);
	if (snapshot->attached && !snapshot->guard && config_needs_guard(&snapshot->config))
		fputs("holdfast: the guard isn't attached, though the rules ask for it: "
		      "applications can undo what they say\n",
		      stderr);
	if (snapshot->limits[0])
		fprintf(stderr, "holdfast: %s\n", snapshot->limits);
	command_say_what_is_hidden();
	err = options->json
		      ? status_json(snapshot, filter)
		      : status_table(snapshot, filter, columns, options->headings, options->raw);
	if (err) {
		error_set(&e, -err, "showing the status: %s", strerror(-err));
		return command_failed(&e);
	}
	if (!snapshot->attached)
		return STATUS_NOT_ATTACHED;
	for (i = 0; i < snapshot->n; i++) {
		const struct snapshot_socket *socket = &snapshot->sockets[i];

		if (filter_takes(filter, socket) &&
		    (socket->verdict == VERDICT_EXPOSED || socket->verdict == VERDICT_CLOSED))
			well = false;
	}
	return well ? STATUS_OK : STATUS_NOT_WELL;
}

/* Nothing is pinned: the JSON says so all the same, for whoever reads it by program. */
static int show_nothing(const struct options *options, int status)
{
	struct snapshot nothing = {0};
	struct filter all = {0};

	if (options->json && status == STATUS_NOT_ATTACHED)
		status_json(&nothing, &all);
	return status;
}

int status_main(const struct command *command, int argc, char **argv)
{
	struct status_columns columns = {0};
	struct plane plane = PLANE_INIT;
	struct snapshot snapshot;
	struct options options;
	struct error e = {0};
	struct filter filter;
	int status, err;

	status = parse_options(argc, argv, &options);
	if (status >= 0)
		return status;
	err = status_columns_parse(options.columns, &columns, &e);
	if (err) {
		command_failed(&e);
		return err == -EINVAL ? STATUS_USAGE : STATUS_BROKEN;
	}
	status = command_open(command, NULL, &plane);
	if (status) {
		status_columns_free(&columns);
		return show_nothing(&options, status);
	}
	err = snapshot_take(&plane, &snapshot, &e);
	if (err) {
		status = command_failed(&e);
	} else {
		err = filter_init(&filter, &snapshot.config, argc - optind, argv + optind, &e);
		if (err) {
			command_failed(&e);
			status = err == -EINVAL ? STATUS_USAGE : STATUS_BROKEN;
		} else {
			status = show(command, &snapshot, &filter, &options, &columns);
			filter_free(&filter);
		}
		snapshot_free(&snapshot);
	}
	status_columns_free(&columns);
	plane_close(&plane);
	return status;
}
