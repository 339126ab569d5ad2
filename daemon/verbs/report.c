// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast report: one file for a bug report, shown before it is written. */
#include "show/report.h"

#include "base/textfile.h"
#include "base/util.h"
#include "verbs/advice.h"
#include "verbs/command.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct options {
	const char *file;
	bool plain;
};

static void usage(FILE *out)
{
	fputs("Usage: holdfast report [-o FILE] [--plain]\n"
	      "What a bug report needs: versions, the kernel and what it can do, configuration,\n"
	      "status, metrics, what else is attached, and the last lines of the log. It is\n"
	      "printed, with other addresses and names than the host's own.\n\n"
	      "  -o, --output FILE  write it to this file, too, once you have seen it\n"
	      "  --plain            addresses and names as they are\n"
	      "  -h, --help         print this and exit\n",
	      out);
}

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"output", required_argument, NULL, 'o'},
		{"plain", no_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	*options = (struct options){0};
	while ((option = getopt_long(argc, argv, "o:h", known, NULL)) != -1) {
		switch (option) {
		case 'o':
			options->file = optarg;
			break;
		case 'p':
			options->plain = true;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return STATUS_USAGE;
	}
	return -1;
}

/* Opens what is pinned. Returns 0; -ENOENT if that is nothing, and `nothing` says so; or an error.
 */
static int open_plane(const struct command *command, struct data_plane *plane, char *nothing,
		      size_t size, struct error *e)
{
	struct advice advice;
	int err = data_plane_open(plane, command->pin_dir, e);

	if (err == -ENOENT) {
		advice_find(command->pin_dir, &advice);
		snprintf(nothing, size, "nothing is attached (%s): %s", e->text, advice.text);
	}
	return err;
}

/* Asks whether a report that has been shown may be written, where somebody is there to answer. */
static bool may_write(const char *file)
{
	char answer[16];

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return true;
	printf("\nWrite this to %s? [y/N] ", file);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int write_file(const char *file, const char *text, size_t size)
{
	char path[PATH_MAX];
	struct error e = {0};

	snprintf(path, sizeof(path), "%s%s", strchr(file, '/') ? "" : "./", file);
	return textfile_put(path, text, size, 0600, &e) ? command_failed(&e) : STATUS_OK;
}

int report_main(const struct command *command, int argc, char **argv)
{
	struct data_plane plane = DATA_PLANE_INIT;
	_cleanup_free_ char *text = NULL;
	char nothing[6144] = "";
	struct options options;
	struct error e = {0};
	int status, err;
	size_t size;
	FILE *out;

	status = parse_options(argc, argv, &options);
	if (status >= 0)
		return status;
	if (!command_privileged())
		return STATUS_BROKEN;
	err = open_plane(command, &plane, nothing, sizeof(nothing), &e);
	if (err && err != -ENOENT)
		snprintf(nothing, sizeof(nothing), "what is pinned can't be read: %s", e.text);
	out = open_memstream(&text, &size);
	if (out) {
		err = report_write(err ? NULL : &plane, nothing, options.plain, out);
		if (!memstream_close(out, &text))
			err = -ENOMEM;
	}
	data_plane_close(&plane);
	if (!out || err) {
		fputs("holdfast: report: out of memory\n", stderr);
		return STATUS_BROKEN;
	}
	fputs(text, stdout);
	if (!options.file || !may_write(options.file))
		return STATUS_OK;
	return write_file(options.file, text, size);
}
