// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the configuration parser. The input is the main file and, each behind a line "%%", its
 * drop-in files. A sound configuration must come back unchanged from its own text, compile to
 * rules, and be shown; a faulty one must have its faults reported, one line each.
 */
#include "fuzz.h"

#include "conf/check.h"
#include "conf/conf.h"
#include "conf/text.h"
#include "rules/lpm.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEPARATOR "\n%%\n"
#define FILES_MAX 5

struct place {
	char file[64], folder[64];
};

static void make_place(struct place *place)
{
	static char directory[32];

	if (!directory[0]) {
		strcpy(directory, "/dev/shm/holdfast-fuzz-XXXXXX");
		check(mkdtemp(directory));
	}
	snprintf(place->file, sizeof(place->file), "%s/h.conf", directory);
	snprintf(place->folder, sizeof(place->folder), "%s/h.conf.d", directory);
	check(mkdir(place->folder, 0700) == 0 || errno == EEXIST);
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
	FILE *file = fopen(path, "w");

	check(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

/*
 * Writes the input's files and returns how many there are. With no data, removes those of an
 * earlier call.
 */
static size_t write_files(const struct place *place, const uint8_t *data, size_t size)
{
	const size_t gap = strlen(SEPARATOR);
	const uint8_t *end;
	char path[80];
	size_t n;

	for (n = 0; n < FILES_MAX; n++) {
		if (n)
			snprintf(path, sizeof(path), "%s/%zu.conf", place->folder, n);
		else
			snprintf(path, sizeof(path), "%s", place->file);
		if (!data) {
			unlink(path);
			continue;
		}
		end = size ? memmem(data, size, SEPARATOR, gap) : NULL;
		write_file(path, data, end ? (size_t)(end - data) : size);
		if (!end)
			return n + 1;
		size -= (size_t)(end - data) + gap;
		data = end + gap;
	}
	return n;
}

static void check_messages(const struct conf_messages *messages, bool sound)
{
	size_t i, n_errors = 0, text_size;
	char *text, *line;
	FILE *out = open_memstream(&text, &text_size);

	for (i = 0; i < messages->n; i++) {
		n_errors += !messages->list[i].warning;
		line = conf_message_format(&messages->list[i]);
		check(line && !strchr(line, '\n'));
		check_printable(line, strlen(line));
		free(line);
	}
	check(n_errors == messages->n_errors);
	check(sound == !n_errors);
	check(out && check_print_messages(messages, out) == 0 && fclose(out) == 0);
	free(text);
}

/* Checks that the text that is pinned beside the rules gives the same rules again. */
static void check_text(const struct config *config)
{
	char *text = conf_write_text(config), *text_again;
	struct conf_messages messages;
	struct config again;

	check(text);
	check(conf_parse_text("again", text, strlen(text), &again, &messages) == 0);
	conf_messages_free(&messages);
	text_again = conf_write_text(&again);
	check(text_again && strcmp(text, text_again) == 0);
	free(text_again);
	free(text);
	config_free(&again);
}

static void check_force(const struct config *config)
{
	struct rule_entry *entries;
	struct error e = {0};
	struct lpm *lpm;
	size_t n;

	if (rules_compile(config, 1, &entries, &n, &e) < 0) {
		check(e.text[0]);
		return;
	}
	lpm = lpm_new(entries, n);
	check(lpm);
	lpm_free(lpm);
	free(entries);
}

static void check_shown(const struct config *config, const struct conf_messages *messages)
{
	struct json_object *object = check_to_json(config, messages);
	size_t text_size;
	char *text;
	FILE *out = open_memstream(&text, &text_size);

	check(object && json_object_to_json_string(object));
	json_object_put(object);
	check(out && (!config || check_print_rules(config, out) == 0) && fclose(out) == 0);
	check_printable(text, text_size);
	free(text);
}

static void check_outcome(int err, struct config *config, struct conf_messages *messages)
{
	check(err == 0 || err == -EBADMSG);
	check_messages(messages, err == 0);
	check_shown(err ? NULL : config, messages);
	if (!err) {
		check_text(config);
		check_force(config);
		config_free(config);
	}
	conf_messages_free(messages);
}

void fuzz_config(const uint8_t *data, size_t size)
{
	struct conf_messages messages;
	struct config config;
	struct place place = {0};
	size_t n;

	check_outcome(conf_parse_text("fuzz", (const char *)data, size, &config, &messages),
		      &config, &messages);
	if (size >= strlen(CONF_TEXT_MARK) && !memcmp(data, CONF_TEXT_MARK, strlen(CONF_TEXT_MARK)))
		return; /* the mark is only in that text, never in a file */
	make_place(&place);
	n = write_files(&place, data, size);
	check_outcome(conf_load_from(place.file, place.folder, &config, &messages), &config,
		      &messages);
	write_files(&place, NULL, n);
	rmdir(place.folder);
}
