// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast preview: shows what a configuration would do to the sockets of this host. */
#include "conf/check.h"
#include "show/preview.h"
#include "show/status.h"
#include "sockets/daemon_stats.h"
#include "sockets/preview_config.h"
#include "verbs/command.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

struct options {
	const char *config; /* NULL: the default place */
	bool json;
	bool headings;
	bool raw;
	const char *columns;
};

static void usage(FILE *out)
{
	fputs("Usage: holdfast preview [--config FILE] [-J | -o COLUMN,... | -n | -r] [FILTER...]\n"
	      "What a configuration would do: every socket that a rule would match, what it has\n"
	      "now, and what it would get. It needs no daemon, and changes nothing.\n\n"
	      "  --config FILE        the rules of this file, not those of " CONF_DEFAULT_FILE "\n"
	      "                       and its drop-ins\n"
	      "  -J, --json           as JSON\n"
	      "  -o, --output LIST    these columns; +LIST adds to the usual ones\n"
	      "  -n, --noheadings     no heading\n"
	      "  -r, --raw            columns separated by one blank\n"
	      "  -h, --help           print this and exit\n\n"
	      "FILTER: a rule's name, a peer's address or prefix, a verdict.\n"
	      "Exit status 1: a socket that is shown is exposed or closed, or the configuration "
	      "has\n"
	      "errors.\n\n"
	      "Columns:\n",
	      out);
	status_columns_help(out, true);
}

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'J'},
		{"output", required_argument, NULL, 'o'},
		{"noheadings", no_argument, NULL, 'n'},
		{"raw", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	*options = (struct options){.headings = true};
	while ((option = getopt_long(argc, argv, "Jo:nrh", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config = optarg;
			break;
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

static int failed(int err, const char *what)
{
	struct error e = {0};

	error_set(&e, -err, "%s: %s", what, strerror(-err));
	return command_failed(&e);
}

/* Reads the configuration and lists its faults. Returns STATUS_OK, and the caller frees config. */
static int read_config(const char *path, struct config *config)
{
	struct conf_messages messages = {0};
	int err = conf_load(path, config, &messages);
	int shown = err == -ENOMEM ? 0 : check_print_messages(&messages, stderr);

	conf_messages_free(&messages);
	if (!err && shown)
		config_free(config);
	if (err == -EBADMSG && !shown)
		return STATUS_NOT_WELL;
	return err || shown ? failed(shown ? shown : err, "reading the configuration") : STATUS_OK;
}

/*
 * Opens what is attached, if anything is, and says so. Sets *attached. Returns STATUS_OK, and the
 * caller calls data_plane_close(), or the status to exit with.
 */
static int find_attached(const struct command *command, struct data_plane *plane, bool *attached)
{
	struct error e = {0};
	pid_t daemon;
	int err = data_plane_open(plane, command->pin_dir, &e);

	*attached = !err;
	if (err == -ENOENT)
		return STATUS_OK;
	if (err == -EPROTO) {
		fprintf(stderr,
			"holdfast: %s; what it has set is taken for the applications' own\n",
			e.text);
		return STATUS_OK;
	}
	if (err)
		return command_failed(&e);
	daemon = daemon_stats_daemon(plane);
	if (daemon)
		fprintf(stderr,
			"holdfast: a daemon runs, process %d: what it holds is shown as it is now, "
			"and "
			"as this configuration would change it\n",
			(int)daemon);
	else
		fputs("holdfast: no daemon runs, but what one has attached still holds "
		      "connections: "
		      "these are shown as they are now\n",
		      stderr);
	return STATUS_OK;
}

/* Says which sockets are not among those that are shown. */
static void say_what_is_missing(const struct preview *preview)
{
	command_say_what_is_hidden();
	if (preview->released)
		fprintf(stderr,
			"holdfast: %zu held connection%s that no rule of this configuration "
			"matches "
			"would be given back\n",
			preview->released, preview->released == 1 ? "" : "s");
	if (preview->host.text[0])
		fprintf(stderr,
			"holdfast: what this host itself forgets can't be found out everywhere: "
			"%s\n",
			preview->host.text);
	if (!preview->unread)
		return;
	fprintf(stderr, "holdfast: %zu more socket%s can't be read and %s: ", preview->unread,
		preview->unread == 1 ? "" : "s",
		preview->unread == 1 ? "isn't shown" : "aren't shown");
	if (preview->unread_errno)
		fprintf(stderr, "%s%s\n", strerror(preview->unread_errno),
			preview->unread_errno == EPERM
				? " (CAP_SYS_PTRACE; is kernel.yama.ptrace_scope 3?)"
				: "");
	else
		fputs("no process has them open (the kernel's own, or not accepted yet)\n", stderr);
}

static int show(const struct preview *preview, const struct filter *filter,
		const struct options *options, const struct status_columns *columns)
{
	const struct snapshot *snapshot = &preview->snapshot;
	bool well = true;
	size_t i;
	int err;

	err = options->json
		      ? preview_json(preview, filter)
		      : status_table(snapshot, filter, columns, options->headings, options->raw);
	if (!err && !options->json) {
		fflush(stdout); /* so that the sentence comes last */
		err = preview_print_changes(preview, filter, stderr);
	}
	if (err)
		return failed(err, "showing the preview");
	for (i = 0; i < snapshot->n; i++) {
		const struct snapshot_socket *socket = &snapshot->sockets[i];

		if (filter_takes(filter, socket) &&
		    (socket->verdict == VERDICT_EXPOSED || socket->verdict == VERDICT_CLOSED))
			well = false;
	}
	return well ? STATUS_OK : STATUS_NOT_WELL;
}

/* Previews the configuration, which it frees. */
static int preview_config_on(const struct data_plane *plane, struct config *config, int argc,
			     char **argv, const struct options *options,
			     const struct status_columns *columns)
{
	struct preview preview;
	struct filter filter;
	struct error e = {0};
	int err, status;

	err = filter_init(&filter, config, argc, argv, &e);
	if (err) {
		config_free(config);
		command_failed(&e);
		return err == -EINVAL ? STATUS_USAGE : STATUS_BROKEN;
	}
	err = preview_config(plane, config, &e);
	if (err)
		config_free(config);
	else
		err = preview_take(plane, config, &preview, &e);
	if (err) {
		status = command_failed(&e);
	} else {
		say_what_is_missing(&preview);
		status = show(&preview, &filter, options, columns);
		preview_free(&preview);
	}
	filter_free(&filter);
	return status;
}

int preview_main(const struct command *command, int argc, char **argv)
{
	struct data_plane plane = DATA_PLANE_INIT;
	struct status_columns columns = {0};
	struct config config = {0};
	struct options options;
	struct error e = {0};
	bool attached = false;
	int status, err;

	status = parse_options(argc, argv, &options);
	if (status >= 0)
		return status;
	err = status_columns_parse(options.columns, true, &columns, &e);
	if (err) {
		command_failed(&e);
		return err == -EINVAL ? STATUS_USAGE : STATUS_BROKEN;
	}
	status = read_config(options.config, &config);
	if (status == STATUS_OK && !command_privileged())
		status = STATUS_BROKEN;
	if (status == STATUS_OK)
		status = find_attached(command, &plane, &attached);
	if (status == STATUS_OK)
		status = preview_config_on(attached ? &plane : NULL, &config, argc - optind,
					   argv + optind, &options, &columns);
	else
		config_free(&config);
	data_plane_close(&plane);
	status_columns_free(&columns);
	return status;
}
