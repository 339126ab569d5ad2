// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf/check.h"

#include "base/duration.h"
#include "base/json.h"
#include "base/text.h"
#include "base/util.h"
#include "rules/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <libsmartcols/libsmartcols.h>
#include <string.h>

enum column {
	COLUMN_NAME,
	COLUMN_DESTINATION,
	COLUMN_PORT,
	COLUMN_SIDE,
	COLUMN_WINDOW,
	COLUMN_TIME,
	COLUMN_INTERVAL,
	COLUMN_PROBES,
	COLUMN_USER_TIMEOUT,
	COLUMN_OVERRIDE,
	COLUMN_ENFORCE,
};

static const struct {
	const char *name;
	int flags;
} columns[] = {
	[COLUMN_NAME] = {"NAME", 0},
	[COLUMN_DESTINATION] = {"DESTINATION", SCOLS_FL_WRAP},
	[COLUMN_PORT] = {"PORT", SCOLS_FL_WRAP},
	[COLUMN_SIDE] = {"SIDE", 0},
	[COLUMN_WINDOW] = {"WINDOW", SCOLS_FL_RIGHT},
	[COLUMN_TIME] = {"TIME", SCOLS_FL_RIGHT},
	[COLUMN_INTERVAL] = {"INTERVAL", SCOLS_FL_RIGHT},
	[COLUMN_PROBES] = {"PROBES", SCOLS_FL_RIGHT},
	[COLUMN_USER_TIMEOUT] = {"USER-TIMEOUT", SCOLS_FL_RIGHT},
	[COLUMN_OVERRIDE] = {"OVERRIDE", 0},
	[COLUMN_ENFORCE] = {"ENFORCE", 0},
};

static void table_free(struct libscols_table **table)
{
	scols_unref_table(*table);
}

int check_print_messages(const struct conf_messages *messages, FILE *out)
{
	size_t i;

	for (i = 0; i < messages->n; i++) {
		_cleanup_free_ char *line = conf_message_format(&messages->list[i]);

		if (!line)
			return -ENOMEM;
		fprintf(out, "%s\n", line);
	}
	return 0;
}

static char *destinations_text(const struct rule *rule)
{
	char piece[PREFIX_TEXT_MAX], *text = NULL;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (i = 0; i < rule->n_destinations; i++)
		fprintf(out, "%s%s", i ? ", " : "",
			destination_text(&rule->destinations[i], piece));
	return memstream_close(out, &text);
}

static char *ports_text(const struct rule *rule)
{
	char *text = NULL;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (i = 0; i < rule->n_ports; i++) {
		fprintf(out, "%s%u", i ? ", " : "", rule->ports[i].first);
		if (rule->ports[i].last != rule->ports[i].first)
			fprintf(out, "-%u", rule->ports[i].last);
	}
	return memstream_close(out, &text);
}

static char *duration_text(uint64_t ms)
{
	char text[DURATION_TEXT_MAX];

	duration_format(ms, text, sizeof(text));
	return strdup(text);
}

/* Returns the text of a column for a rule, which the caller frees. NULL: out of memory. */
static char *cell(const struct rule *rule, enum column column)
{
	char number[16];

	switch (column) {
	case COLUMN_NAME:
		return strdup(rule->name);
	case COLUMN_DESTINATION:
		return destinations_text(rule);
	case COLUMN_PORT:
		return ports_text(rule);
	case COLUMN_SIDE:
		return strdup(rule_side_name(rule->side));
	case COLUMN_WINDOW:
		return rule->window_ms ? duration_text(rule->window_ms) : strdup("auto");
	case COLUMN_TIME:
		return duration_text(rule->time_s * (uint64_t)1000);
	case COLUMN_INTERVAL:
		return duration_text(rule->interval_s * (uint64_t)1000);
	case COLUMN_PROBES:
		snprintf(number, sizeof(number), "%u", rule->probes);
		return strdup(number);
	case COLUMN_USER_TIMEOUT:
		return rule->user_timeout_ms ? duration_text(rule->user_timeout_ms) : strdup("off");
	case COLUMN_OVERRIDE:
		return strdup(rule_override_name(rule->override));
	case COLUMN_ENFORCE:
		return strdup(rule->enforce ? "yes" : "no");
	}
	return NULL;
}

static int add_line(struct libscols_table *table, const struct rule *rule)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	size_t i;

	if (!line)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(columns); i++) {
		char *text = cell(rule, (enum column)i);

		if (!text || scols_line_refer_data(line, i, text)) {
			free(text);
			return -ENOMEM;
		}
	}
	return 0;
}

int check_print_rules(const struct config *config, FILE *out)
{
	__attribute__((cleanup(table_free))) struct libscols_table *table = NULL;
	size_t i;
	int err;

	if (!config->n_rules)
		return 0;
	scols_init_debug(0);
	table = scols_new_table();
	if (!table)
		return -ENOMEM;
	scols_table_set_stream(table, out);
	/* libsmartcols asks whether standard output is a terminal, whatever the stream is. */
	if (!isatty(fileno(out)))
		scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	for (i = 0; i < ARRAY_SIZE(columns); i++) {
		if (!scols_table_new_column(table, columns[i].name, 0, columns[i].flags))
			return -ENOMEM;
	}
	for (i = 0; i < config->n_rules; i++) {
		err = add_line(table, &config->rules[i]);
		if (err)
			return err;
	}
	return scols_print_table(table);
}

static struct json_object *message_to_json(const struct conf_message *message)
{
	struct json_object *object = json_object_new_object();
	size_t size = strlen(message->file);
	_cleanup_free_ char *file = malloc(TEXT_ESCAPED_MAX(size) + 8);

	if (!object || !file ||
	    json_put(object, "file",
		     json_object_new_string(
			     text_escape(file, TEXT_ESCAPED_MAX(size) + 8, message->file, size))) ||
	    json_put(object, "line", json_object_new_int64(message->line)) ||
	    json_put(object, "message", json_object_new_string(message->text))) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

static struct json_object *messages_to_json(const struct conf_messages *messages, bool warnings)
{
	struct json_object *array = json_object_new_array(), *message;
	size_t i;

	for (i = 0; array && i < messages->n; i++) {
		if (messages->list[i].warning != warnings)
			continue;
		message = message_to_json(&messages->list[i]);
		if (!message || json_object_array_add(array, message)) {
			json_object_put(message);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static struct json_object *rules_to_json(const struct config *config)
{
	struct json_object *array = json_object_new_array(), *rule;
	size_t i;

	for (i = 0; array && config && i < config->n_rules; i++) {
		rule = rule_to_json(&config->rules[i]);
		if (!rule || json_object_array_add(array, rule)) {
			json_object_put(rule);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static int put_null(struct json_object *object, const char *key)
{
	return json_object_object_add(object, key, NULL) ? -ENOMEM : 0;
}

/* Puts the keys of [daemon]: null if the configuration has errors, or if the value is off. */
static int put_daemon(struct json_object *object, const struct config *config)
{
	int err;

	err = config ? json_put(object, "guard", json_object_new_boolean(config->guard))
		     : put_null(object, "guard");
	if (!err)
		err = config ? json_put(object, "reconcile",
					json_object_new_int64(config->reconcile_s))
			     : put_null(object, "reconcile");
	if (!err)
		err = config && config->textfile
			      ? json_put(object, "metrics_textfile",
					 json_object_new_string(config->textfile))
			      : put_null(object, "metrics_textfile");
	return err;
}

struct json_object *check_to_json(const struct config *config, const struct conf_messages *messages)
{
	struct json_object *object = json_object_new_object();

	if (!object || put_daemon(object, config) ||
	    json_put(object, "rules", rules_to_json(config)) ||
	    json_put(object, "errors", messages_to_json(messages, false)) ||
	    json_put(object, "warnings", messages_to_json(messages, true))) {
		json_object_put(object);
		return NULL;
	}
	return object;
}
