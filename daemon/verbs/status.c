// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast status: shows every socket that a rule matches, as the kernel has it now. */
#include "base/clock.h"
#include "kernel/hook.h"
#include "show/status.h"
#include "sockets/daemon_stats.h"
#include "verbs/command.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

struct options {
	bool daemon;
	bool json;
	bool headings;
	bool raw;
	const char *columns;
};

static void usage(FILE *out)
{
	fputs("Usage: holdfast status [-J | -o COLUMN,... | -n | -r] [FILTER...]\n"
	      "       holdfast status -d\n"
	      "Every socket that a rule matches, as the kernel has it now.\n\n"
	      "  -J, --json           as JSON\n"
	      "  -o, --output LIST    these columns; +LIST adds to the usual ones\n"
	      "  -n, --noheadings     no heading\n"
	      "  -r, --raw            columns separated by one blank\n"
	      "  -d, --daemon         no sockets, only whether the daemon does its work\n"
	      "  -h, --help           print this and exit\n\n"
	      "FILTER: a rule's name, a peer's address or prefix, a verdict.\n"
	      "Exit status 1: a socket that is shown is exposed or closed; with -d: the daemon is\n"
	      "gone, starts, or hangs.\n\n"
	      "Columns:\n",
	      out);
	status_columns_help(out, false);
}

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'J'},
		{"output", required_argument, NULL, 'o'},
		{"noheadings", no_argument, NULL, 'n'},
		{"raw", no_argument, NULL, 'r'},
		{"daemon", no_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	*options = (struct options){.headings = true};
	while ((option = getopt_long(argc, argv, "Jo:nrdh", known, NULL)) != -1) {
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
		case 'd':
			options->daemon = true;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	/* --daemon shows no sockets: there is nothing to filter or to format. */
	if (options->daemon && (optind < argc || options->json || options->columns ||
				options->raw || !options->headings)) {
		fputs("holdfast: --daemon goes with no other option, nor with a filter\n", stderr);
		return STATUS_USAGE;
	}
	return -1;
}

/* Tells whether the daemon does its work, for the health checks of an orchestrator. */
static int show_daemon(const struct command *command, const struct data_plane *plane)
{
	char name[PINS_PROCESS_MAX];
	struct error e = {0};
	struct daemon_stats stats;
	uint64_t now_ms, ago_s;
	pid_t daemon = daemon_stats_daemon(plane);
	int attached = data_plane_attached(plane, &e);

	if (attached < 0 || daemon_stats_read(plane, &stats, &e))
		return command_failed(&e);
	if (!attached)
		return command_not_attached(command, daemon, NULL);
	now_ms = (uint64_t)monotonic_ms();
	ago_s = now_ms > stats.passed_ms ? (now_ms - stats.passed_ms) / 1000u : 0;
	switch (stats_judge(&stats, daemon, now_ms)) {
	case STATS_LOOKING:
		printf("holdfastd, process %d, does its work: it has looked at all sockets %" PRIu64
		       " s ago\n",
		       (int)daemon, ago_s);
		return STATUS_OK;
	case STATS_STARTING:
		fprintf(stderr, "holdfast: %s, process %d, has begun, and isn't ready yet\n",
			pins_name_process(daemon, name), (int)daemon);
		break;
	case STATS_HANGING:
		fprintf(stderr,
			"holdfast: the daemon, process %d, hangs: it has looked at all sockets "
			"%" PRIu64 " s ago, and does so every %" PRIu64
			" s (restart it, and it takes over)\n",
			(int)daemon, ago_s, stats.period_s);
		break;
	case STATS_GONE:
		command_say_daemon_gone();
		break;
	}
	return STATUS_NOT_WELL;
}

/* Host names without an address: no connection matches them, and no row shows that. */
static void say_unresolved(const struct config *config)
{
	struct host_name name = {0};

	while (config_next_unresolved(config, &name))
		fprintf(stderr,
			"holdfast: rule %s: host name %s has no address by now: no connection "
			"matches it\n",
			name.rule->name, name.destination->name);
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
		command_say_daemon_gone();
	if (snapshot->attached && !snapshot->guard && config_needs_guard(&snapshot->config))
		fputs("holdfast: the guard isn't attached, though the rules ask for it: "
		      "applications can undo what they say\n",
		      stderr);
	if (snapshot->limits[0])
		fprintf(stderr, "holdfast: %s\n", snapshot->limits);
	say_unresolved(&snapshot->config);
	command_say_what_is_hidden();
	err = options->json
		      ? status_json(snapshot, filter, stdout)
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

/* With -J prints JSON also where nothing is pinned, for programs that read it. */
static int show_nothing(const struct options *options, int status)
{
	struct snapshot nothing = {0};
	struct filter all = {0};

	if (options->json && status == STATUS_NOT_ATTACHED)
		status_json(&nothing, &all, stdout);
	return status;
}

int status_main(const struct command *command, int argc, char **argv)
{
	struct status_columns columns = {0};
	struct data_plane plane = DATA_PLANE_INIT;
	struct snapshot snapshot;
	struct options options;
	struct error e = {0};
	struct filter filter;
	int status, err;

	status = parse_options(argc, argv, &options);
	if (status >= 0)
		return status;
	err = status_columns_parse(options.columns, false, &columns, &e);
	if (err) {
		command_failed(&e);
		return err == -EINVAL ? STATUS_USAGE : STATUS_BROKEN;
	}
	status = command_open(command, NULL, &plane);
	if (status) {
		status_columns_free(&columns);
		return show_nothing(&options, status);
	}
	if (options.daemon) {
		status = show_daemon(command, &plane);
		status_columns_free(&columns);
		data_plane_close(&plane);
		return status;
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
	data_plane_close(&plane);
	return status;
}
