// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/report.h"

#include "base/json.h"
#include "base/util.h"
#include "conf/check.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_programs.h"
#include "show/metrics.h"
#include "show/pseudonyms.h"
#include "show/report_host.h"
#include "show/status.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

struct report {
	const struct data_plane *plane;
	const char *nothing;
	struct pseudonyms names;
	bool plain;
	FILE *out;
};

/* Writes a part of the report as the command that has it does. Returns 0 or -ENOMEM. */
typedef int (*part_fn)(struct report *report, FILE *out);

/* Prints a text with other addresses and names. */
typedef void (*replace_fn)(struct pseudonyms *names, const char *text, FILE *out);

/* Writes a part; unless the report is plain, with its own way to replace what it says. */
static int write_part(struct report *report, part_fn part, replace_fn replace)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *memory = open_memstream(&text, &size);
	int err;

	if (!memory)
		return -ENOMEM;
	err = part(report, memory);
	if (!memstream_close(memory, &text))
		return -ENOMEM;
	if (!err && report->plain)
		fputs(text, report->out);
	else if (!err)
		replace(&report->names, text, report->out);
	return err;
}

/* A text that isn't JSON says why there is none. */
static void in_json(struct pseudonyms *names, const char *text, FILE *out)
{
	if (text[0] == '{')
		pseudonyms_in_json(names, text, out);
	else
		pseudonyms_in_text(names, text, out);
}

/* --- parts --- */

static int versions(struct report *report, FILE *out)
{
	(void)report;
	report_versions(out);
	return 0;
}

static int kernel(struct report *report, FILE *out)
{
	char limits[SUPPORT_TEXT_MAX];

	report_kernel(out);
	if (report->plane && support_limits(report->plane, limits))
		fprintf(out, "what it can't do: %s\n", limits);
	else if (report->plane)
		fputs("what it can't do: nothing is missing\n", out);
	return 0;
}

/* Each of these two reads the files anew: faults are text, and rules are JSON. */
static int faults(struct report *report, FILE *out)
{
	struct conf_messages messages = {0};
	struct config config = {0};
	int err = conf_load(NULL, &config, &messages);

	(void)report;
	if (err != -ENOMEM)
		err = check_print_messages(&messages, out);
	if (!err && !messages.n)
		fputs("none\n", out);
	conf_messages_free(&messages);
	config_free(&config);
	return err;
}

static int configuration(struct report *report, FILE *out)
{
	struct conf_messages messages = {0}, none = {0};
	struct config config = {0};
	struct json_object *object = NULL;
	int err = conf_load(NULL, &config, &messages);
	const char *text = NULL;

	(void)report;
	if (err != -ENOMEM)
		object = check_to_json(err ? NULL : &config, &none);
	if (object)
		text = json_text(object);
	if (text)
		fprintf(out, "%s\n", text);
	err = text ? 0 : -ENOMEM;
	json_object_put(object);
	conf_messages_free(&messages);
	config_free(&config);
	return err;
}

static int status(struct report *report, FILE *out)
{
	struct snapshot snapshot;
	struct filter all = {0};
	struct error e = {0};
	int err;

	if (!report->plane) {
		fprintf(out, "%s\n", report->nothing);
		return 0;
	}
	if (snapshot_take(report->plane, &snapshot, &e)) {
		fprintf(out, "it can't be read: %s\n", e.text);
		return 0;
	}
	err = status_json(&snapshot, &all, out);
	snapshot_free(&snapshot);
	return err;
}

static int metrics(struct report *report, FILE *out)
{
	struct metrics taken;
	struct error e = {0};

	if (!report->plane) {
		metrics_write_nothing(out);
		return 0;
	}
	if (metrics_take(report->plane, &taken, &e)) {
		fprintf(out, "they can't be read: %s\n", e.text);
		return 0;
	}
	metrics_write(&taken, out);
	metrics_free(&taken);
	return 0;
}

struct programs {
	struct report *report;
	FILE *out;
	size_t root; /* length of the path of the hierarchy's root */
};

/* Control groups are those of the status: paths below the root. */
static void print_program(const struct cgroup_program *program, void *arg)
{
	const struct programs *programs = arg;
	const char *cgroup = program->cgroup + programs->root;
	char name[PSEUDONYM_MAX];

	if (!cgroup[0])
		cgroup = "/";
	else if (!programs->report->plain)
		cgroup = pseudonym_for(&programs->report->names, PSEUDONYM_CGROUP, cgroup,
				       strlen(cgroup), name);
	fprintf(programs->out, "%s: %s, program %" PRIu32 "%s at %s\n", program->hook,
		program->name[0] ? program->name : "without a name", program->id,
		program->exclusive ? ", which keeps others out," : "", cgroup);
}

static int attached(struct report *report, FILE *out)
{
	struct programs programs = {.report = report, .out = out};
	char root[PATH_MAX];
	struct error e = {0};
	int err = cgroup_find_root(root, sizeof(root), false, &e);

	if (!err) {
		programs.root = strlen(root);
		err = cgroup_programs(root, print_program, &programs, &e);
	}
	if (err)
		fprintf(out, "it can't be found out: %s\n", e.text);
	return 0;
}

static int log_lines(struct report *report, FILE *out)
{
	(void)report;
	report_log(out);
	return 0;
}

int report_write(const struct data_plane *plane, const char *nothing, bool plain, FILE *out)
{
	static const struct {
		const char *title;
		part_fn part;
		replace_fn replace;
	} parts[] = {
		{"versions", versions, pseudonyms_in_text},
		{"kernel", kernel, pseudonyms_in_text},
		{"faults of the configuration (holdfast check)", faults, pseudonyms_in_text},
		{"configuration (holdfast check -J)", configuration, in_json},
		{"status (holdfast status -J)", status, in_json},
		{"metrics (holdfast metrics)", metrics, pseudonyms_in_metrics},
		{"BPF programs at control groups", attached, pseudonyms_in_text},
		{"log (journalctl -u holdfast)", log_lines, pseudonyms_in_text},
	};
	struct report report = {.plane = plane, .nothing = nothing, .plain = plain, .out = out};
	int err = 0;
	size_t i;

	fprintf(out, "A report of holdfast. %s\n",
		plain ? "It has addresses and names as they are."
		      : "Addresses and names are replaced, the same by the same (--plain keeps "
			"them).");
	for (i = 0; !err && i < ARRAY_SIZE(parts); i++) {
		fprintf(out, "\n== %s\n\n", parts[i].title);
		err = write_part(&report, parts[i].part, parts[i].replace);
	}
	pseudonyms_free(&report.names);
	return err;
}
