// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast explain: shows which rule a connection gets, which others match it, and why. */
#include "base/json.h"
#include "base/util.h"
#include "conf/conf.h"
#include "kernel/rules_map.h"
#include "rules/explain.h"
#include "rules/lpm.h"
#include "sockets/daemon_stats.h"
#include "sockets/windows.h"
#include "verbs/command.h"

#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <string.h>

/* How many tries explain_running() makes: a reload can come between its two questions. */
#define TRIES 5

#define OR_FILE "; or name a file with --config"

static void usage(FILE *out)
{
	fputs("Usage: holdfast explain [-J] [--config FILE] ADDRESS[:PORT]\n"
	      "Which rule a connection to there gets, which others match it, and why.\n"
	      "Without a port: 3306. An IPv6 address with a port: [ADDRESS]:PORT.\n\n"
	      "  --config FILE  the rules of this file, not those in force\n"
	      "  -J, --json     as JSON\n"
	      "  -h, --help     print this and exit\n",
	      out);
}

/* windows: a map of windows_map(), or negative. */
static int show(const struct config *config, const struct hf_flow *flow, size_t winner, int windows,
		bool json)
{
	struct explanation explanation;
	struct json_object *object;
	struct window window;
	struct error e = {0};
	int err = 0;

	if (explain(config, flow, winner, &explanation, &e))
		return command_failed(&e);
	if (explanation.has_winner)
		windows_read(windows, explanation.list[0].rule, &window, &explanation.host);
	if (json) {
		object = explain_to_json(&explanation);
		err = object ? json_print(object) : -ENOMEM;
		json_object_put(object);
	} else {
		explain_print(&explanation, stdout);
	}
	explanation_free(&explanation);
	if (err) {
		error_set(&e, -err, "showing the explanation: %s", strerror(-err));
		return command_failed(&e);
	}
	return STATUS_OK;
}

static int out_of_memory(void)
{
	struct error e = {0};

	error_set(&e, ENOMEM, "out of memory");
	return command_failed(&e);
}

static int explain_file(const char *file, const struct hf_flow *flow, bool json)
{
	_cleanup_free_ struct rule_entry *entries = NULL;
	struct conf_messages messages = {0};
	const struct hf_rule *rule = NULL;
	struct config config = {0};
	struct error e = {0};
	enum hf_side side;
	struct lpm *lpm;
	size_t n, i;
	int status;

	status = conf_load(file, &config, &messages);
	if (status == -ENOMEM) {
		conf_messages_free(&messages);
		return out_of_memory();
	}
	status = status ? STATUS_NOT_WELL : STATUS_OK;
	for (i = 0; i < messages.n; i++) {
		_cleanup_free_ char *line = conf_message_format(&messages.list[i]);

		fprintf(stderr, "%s\n", line ? line : "out of memory");
	}
	conf_messages_free(&messages);
	if (status)
		return status;
	if (rules_compile(&config, 1, &entries, &n, &e)) {
		config_free(&config);
		return command_failed(&e);
	}
	lpm = lpm_new(entries, n);
	if (lpm)
		rule = lpm_match(lpm, flow, &side);
	if (lpm)
		status = show(&config, flow, rule ? rule->index : EXPLAIN_NONE, -1, json);
	else
		status = out_of_memory();
	lpm_free(lpm);
	config_free(&config);
	return status;
}

/*
 * Explains what the kernel's trie says. Takes the configuration that is kept beside the trie, in
 * every other try the staged one, until it has the generation of the rule that matches.
 */
static int explain_running(const struct data_plane *plane, const struct hf_flow *flow, bool json)
{
	_cleanup_close_ int windows = windows_map(plane);
	struct config config;
	struct error e = {0};
	struct hf_rule rule;
	uint32_t generation;
	enum hf_side side;
	int tries, err, status;
	bool found;

	for (tries = 0; tries < TRIES; tries++) {
		bool staged = tries % 2 && pins_has(&plane->pins, PIN_CONFIG_STAGED);

		found = rules_map_match(plane, flow, &rule, &side);
		err = rules_map_config(plane, staged, &config, &generation, &e);
		if (staged && err == -ENOENT)
			continue;
		if (err)
			return command_failed(&e);
		if (!found || rule.generation == generation) {
			status = show(&config, flow, found ? rule.index : EXPLAIN_NONE, windows,
				      json);
			config_free(&config);
			return status;
		}
		config_free(&config);
	}
	error_set(&e, EAGAIN, "the rules kept changing while they were read; try again");
	return command_failed(&e);
}

int explain_main(const struct command *command, int argc, char **argv)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'J'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct data_plane plane = DATA_PLANE_INIT;
	const char *file = NULL;
	struct error e = {0};
	struct hf_flow flow;
	bool json = false;
	int option, status, attached;

	while ((option = getopt_long(argc, argv, "Jh", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
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
	if (argc - optind != 1) {
		usage(stderr);
		return STATUS_USAGE;
	}
	if (explain_parse(argv[optind], &flow, &e)) {
		command_failed(&e);
		return STATUS_USAGE;
	}
	if (file)
		return explain_file(file, &flow, json);
	status = command_open(command, OR_FILE, &plane);
	if (status)
		return status;
	attached = data_plane_attached(&plane, &e);
	if (attached < 0) {
		status = command_failed(&e);
	} else if (attached) {
		if (!daemon_stats_daemon(&plane))
			command_say_daemon_gone();
		status = explain_running(&plane, &flow, json);
	} else {
		status = command_not_attached(command, daemon_stats_daemon(&plane), OR_FILE);
	}
	data_plane_close(&plane);
	return status;
}
