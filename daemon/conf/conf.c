// SPDX-License-Identifier: GPL-2.0-or-later
/* Finds the files to read, and returns the configuration or the messages. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif

#include "conf/conf.h"

#include "base/util.h"
#include "conf/parse.h"
#include "conf/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DROPIN_SUFFIX ".conf"

struct names {
	char **list;
	size_t n;
};

static void names_free(struct names *names)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		free(names->list[i]);
	free(names->list);
}

static void section_free(struct conf_section *section)
{
	rule_free(&section->values);
	free(section->textfile);
	free(section->title);
}

static void parser_free(struct conf_parser *parser)
{
	size_t i;

	section_free(&parser->daemon);
	section_free(&parser->defaults);
	for (i = 0; i < parser->n_rules; i++)
		section_free(&parser->rules[i]);
	free(parser->rules);
	for (i = 0; i < parser->n_files; i++)
		free(parser->files[i]);
	free(parser->files);
	for (i = 0; i < parser->n_faults; i++)
		free(parser->faults[i].text);
	free(parser->faults);
}

#define _cleanup_parser_ __attribute__((cleanup(parser_free)))

/* Finishes the configuration once all files are read. Sets config, or only messages if there are
 * errors. */
static int conclude(struct conf_parser *parser, struct config *config,
		    struct conf_messages *messages)
{
	struct config result = {0};
	int err;

	if (!parser->out_of_memory)
		conf_finish(parser, &result);
	if (!parser->out_of_memory)
		conf_check_claims(parser, &result);
	err = parser->out_of_memory ? -ENOMEM : conf_faults_take(parser, messages);
	if (!err && parser->n_errors)
		err = -EBADMSG;
	if (err) {
		config_free(&result);
		return err;
	}
	*config = result;
	return 0;
}

static int compare_strings(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Returns whether a file is a drop-in by its name and kind; a dangling symbolic link is one. */
static bool is_dropin(int folder, const char *name)
{
	size_t size = strlen(name), suffix = strlen(DROPIN_SUFFIX);
	struct stat st;

	if (name[0] == '.' || size <= suffix || strcmp(name + size - suffix, DROPIN_SUFFIX) != 0)
		return false;
	return fstatat(folder, name, &st, 0) != 0 || S_ISREG(st.st_mode);
}

static int names_add(struct names *names, const char *folder, const char *name)
{
	char **list = realloc(names->list, (names->n + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	names->list = list;
	if (asprintf(&list[names->n], "%s/%s", folder, name) < 0)
		return -ENOMEM;
	names->n++;
	return 0;
}

/* Lists the paths of the drop-ins, sorted by their bytes. A folder that doesn't exist has none. */
static int list_dropins(struct conf_parser *parser, const char *path, struct names *names)
{
	_cleanup_closedir_ DIR *folder = opendir(path);
	struct dirent *entry;

	if (!folder)
		return errno == ENOENT ? 0 : -errno;
	/* The folder is listed among the files only where others can write to it, so that a message
	 * can name it. */
	if (conf_others_write(dirfd(folder))) {
		conf_begin_file(parser, path);
		if (parser->out_of_memory)
			return -ENOMEM;
		conf_check_writers(parser, dirfd(folder));
	}
	for (;;) {
		errno = 0;
		entry = readdir(folder);
		if (!entry)
			break;
		if (is_dropin(dirfd(folder), entry->d_name) &&
		    names_add(names, path, entry->d_name))
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	if (names->n)
		qsort(names->list, names->n, sizeof(char *), compare_strings);
	return 0;
}

static int load_from(int patience_ms, const char *file, const char *dropins, struct config *config,
		     struct conf_messages *messages)
{
	__attribute__((cleanup(names_free))) struct names names = {0};
	_cleanup_parser_ struct conf_parser parser = {.patience_ms = patience_ms};
	size_t i;
	int err;

	*messages = (struct conf_messages){0};
	conf_read_file(&parser, file, CONF_FILE_IF_THERE);
	err = list_dropins(&parser, dropins, &names);
	if (err == -ENOMEM)
		return err;
	if (err) {
		conf_begin_file(&parser, dropins);
		if (!parser.out_of_memory)
			conf_error(&parser, parser.place,
				   "can't be read: %s (make it a folder that may be read)",
				   strerror(-err));
	}
	for (i = 0; i < names.n && !parser.out_of_memory; i++)
		conf_read_file(&parser, names.list[i], CONF_FILE_DROPIN);
	if (!parser.n_files && !parser.out_of_memory)
		return config_builtin(config, NULL);
	return conclude(&parser, config, messages);
}

int conf_load_from(const char *file, const char *dropins, struct config *config,
		   struct conf_messages *messages)
{
	return load_from(-1, file, dropins, config, messages);
}

int conf_load_within(int patience_ms, const char *path, struct config *config,
		     struct conf_messages *messages)
{
	_cleanup_parser_ struct conf_parser parser = {.patience_ms = patience_ms};

	if (!path)
		return load_from(patience_ms, CONF_DEFAULT_FILE, CONF_DEFAULT_DROPINS, config,
				 messages);
	*messages = (struct conf_messages){0};
	conf_read_file(&parser, path, CONF_FILE);
	return conclude(&parser, config, messages);
}

int conf_load(const char *path, struct config *config, struct conf_messages *messages)
{
	return conf_load_within(-1, path, config, messages);
}

int conf_parse_text(const char *name, const char *text, size_t size, struct config *config,
		    struct conf_messages *messages)
{
	_cleanup_parser_ struct conf_parser parser = {0};
	const size_t mark = strlen(CONF_TEXT_MARK "\n");

	*messages = (struct conf_messages){0};
	parser.marked = size >= mark && !memcmp(text, CONF_TEXT_MARK "\n", mark);
	conf_begin_file(&parser, name);
	if (!parser.out_of_memory)
		conf_read_text(&parser, text, size);
	return conclude(&parser, config, messages);
}
