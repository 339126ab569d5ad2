// SPDX-License-Identifier: GPL-2.0-or-later
/* The `holdfast` command: runs the verb that was given. Each verb has a file of its own. */
#include "base/rlimits.h"
#include "base/standard_streams.h"
#include "base/util.h"
#include "verbs/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const struct verb {
	const char *name;
	verb_fn run;
	const char *arguments;
	const char *help;
} verbs[] = {
	{"status", status_main, "[FILTER...]", "every socket that a rule matches"},
	{"check", check_main, "[FILE]", "read the configuration as the daemon would"},
	{"preview", preview_main, "[FILTER...]", "what a configuration would do"},
	{"explain", explain_main, "ADDRESS[:PORT]", "which rule a connection to there gets"},
	{"probe", probe_main, "[FILTER...]", "probe every held socket now, say which answered"},
	{"reload", reload_main, "", "have the daemon reload, say how it went"},
	{"metrics", metrics_main, "", "counters and gauges for Prometheus"},
	{"release", release_main, "", "give everything back where the daemon is gone"},
	{"measure", measure_main, "ADDRESS:PORT...", "after how long the path to there forgets"},
	{"report", report_main, "", "what a bug report needs"},
};

static void usage(FILE *out)
{
	size_t i;

	fputs("Usage: holdfast [--pin-dir DIR] COMMAND [ARGUMENT...]\n\n", out);
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-8s %-15s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].help);
	fputs("\nholdfast COMMAND --help says more.\n"
	      "Exit status: 0 all is well, 1 it is not, 2 usage, 3 nothing is attached,\n"
	      "4 no permission, or something broke.\n",
	      out);
}

static int run(int argc, char **argv)
{
	static const struct option known[] = {
		{"pin-dir", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	struct command command = {.pin_dir = PINS_DEFAULT_DIR};
	int option;
	size_t i;

	while ((option = getopt_long(argc, argv, "+hV", known, NULL)) != -1) {
		switch (option) {
		case 'p':
			command.pin_dir = optarg;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		case 'V':
			puts("holdfast " HOLDFAST_VERSION);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	if (optind == argc) {
		usage(stderr);
		return STATUS_USAGE;
	}
	argc -= optind;
	argv += optind;
	optind = 0; /* the verb parses its own options from the start */
	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[0], verbs[i].name) == 0)
			return verbs[i].run(&command, argc, argv);
	}
	fprintf(stderr, "holdfast: no such command: '%s'\n", argv[0]);
	usage(stderr);
	return STATUS_USAGE;
}

int main(int argc, char **argv)
{
	int status;

	standard_streams_begin();
	rlimits_raise_files();
	status = run(argc, argv);
	if (status == STATUS_BROKEN || standard_streams_written())
		return status;
	fprintf(stderr, "holdfast: can't write to standard output%s%s\n", errno ? ": " : "",
		errno ? strerror(errno) : "");
	return STATUS_BROKEN;
}
