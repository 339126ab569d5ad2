// SPDX-License-Identifier: GPL-2.0-or-later
/* `holdfast check`: reads the configuration as the daemon would. */
#include "base/json.h"
#include "conf/check.h"
#include "verbs/command.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <string.h>

static void usage(FILE *out)
{
	fputs("Usage: holdfast check [-J] [FILE]\n\n"
	      "Reads the configuration as the daemon would (" CONF_DEFAULT_FILE "\n"
	      "and its drop-ins, or FILE alone) and shows the rules with all defaults filled "
	      "in.\n\n"
	      "  -J, --json  JSON, the faults included\n"
	      "  -h, --help  this text\n\n"
	      "Exit status: 0 sound, 1 errors, 2 usage, 4 something broke.\n",
	      out);
}

static int print_json(const struct config *config, const struct conf_messages *messages)
{
	struct json_object *object = check_to_json(config, messages);
	int err;

	if (!object)
		return -ENOMEM;
	err = json_print(object);
	json_object_put(object);
	return err;
}

static int check(const char *path, bool json)
{
	struct conf_messages messages = {0};
	struct config config = {0};
	int err, status = STATUS_OK;

	err = conf_load(path, &config, &messages);
	if (err == -EBADMSG) {
		status = STATUS_NOT_WELL;
		err = 0;
	}
	if (!err)
		err = check_print_messages(&messages, stderr);
	if (!err && json)
		err = print_json(status == STATUS_OK ? &config : NULL, &messages);
	else if (!err && status == STATUS_OK)
		err = check_print_rules(&config, stdout);
	conf_messages_free(&messages);
	config_free(&config);
	if (err) {
		fprintf(stderr, "holdfast: check: %s\n", strerror(-err));
		return STATUS_BROKEN;
	}
	return status;
}

int check_main(const struct command *command, int argc, char **argv)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'J'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool json = false;
	int option;

	(void)command;
	while ((option = getopt_long(argc, argv, "Jh", known, NULL)) != -1) {
		switch (option) {
		case 'J':
			json = true;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	if (argc - optind > 1) {
		fputs("holdfast: check takes one file at most\n", stderr);
		usage(stderr);
		return STATUS_USAGE;
	}
	return check(argv[optind], json);
}
