// SPDX-License-Identifier: GPL-2.0-or-later
/* Collects messages in any order, and hands them out in the order of files and lines. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif

#include "base/text.h"
#include "base/util.h"
#include "conf/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

__attribute__((format(printf, 4, 0))) static void add_fault(struct conf_parser *parser,
							    struct conf_place place, bool warning,
							    const char *format, va_list args)
{
	struct conf_fault *list;
	size_t room;
	char *text;

	if (!warning)
		parser->n_errors++;
	if (parser->n_faults == parser->room_faults) {
		room = parser->room_faults ? 2 * parser->room_faults : 16;
		list = realloc(parser->faults, room * sizeof(*list));
		if (!list) {
			parser->out_of_memory = true;
			return;
		}
		parser->faults = list;
		parser->room_faults = room;
	}
	if (vasprintf(&text, format, args) < 0) {
		parser->out_of_memory = true;
		return;
	}
	parser->faults[parser->n_faults] =
		(struct conf_fault){place, parser->n_faults, warning, text, false};
	parser->n_faults++;
}

void conf_error(struct conf_parser *parser, struct conf_place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_fault(parser, place, false, format, args);
	va_end(args);
}

void conf_warning(struct conf_parser *parser, struct conf_place place, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_fault(parser, place, true, format, args);
	va_end(args);
}

void conf_unsafe(struct conf_parser *parser, struct conf_place place, const char *format, ...)
{
	size_t before = parser->n_faults;
	va_list args;

	va_start(args, format);
	add_fault(parser, place, true, format, args);
	va_end(args);
	if (parser->n_faults > before)
		parser->faults[before].unsafe = true;
}

static int compare_faults(const void *left, const void *right)
{
	const struct conf_fault *a = left, *b = right;

	if (a->place.file != b->place.file)
		return a->place.file < b->place.file ? -1 : 1;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

static int compare_texts(const void *left, const void *right)
{
	const struct conf_fault *a = left, *b = right;
	int order;

	if (a->place.file != b->place.file)
		return a->place.file < b->place.file ? -1 : 1;
	if (a->place.line != b->place.line)
		return a->place.line < b->place.line ? -1 : 1;
	order = strcmp(a->text, b->text);
	return order ? order : (a->number > b->number) - (a->number < b->number);
}

/* Drops duplicates: a fault in the defaults is found in every rule that uses them. */
static void drop_repeated(struct conf_parser *parser)
{
	struct conf_fault *faults = parser->faults;
	size_t i, kept = 0;

	qsort(faults, parser->n_faults, sizeof(*faults), compare_texts);
	for (i = 1; i < parser->n_faults; i++) {
		if (faults[i].place.file == faults[kept].place.file &&
		    faults[i].place.line == faults[kept].place.line &&
		    !strcmp(faults[i].text, faults[kept].text))
			free(faults[i].text);
		else
			faults[++kept] = faults[i];
	}
	parser->n_faults = kept + 1;
}

int conf_faults_take(struct conf_parser *parser, struct conf_messages *messages)
{
	struct conf_message *message;
	struct conf_fault *fault;
	size_t i;

	if (!parser->n_faults)
		return 0;
	messages->list = calloc(parser->n_faults, sizeof(*messages->list));
	if (!messages->list)
		return -ENOMEM;
	drop_repeated(parser);
	qsort(parser->faults, parser->n_faults, sizeof(*parser->faults), compare_faults);
	for (i = 0; i < parser->n_faults; i++) {
		fault = &parser->faults[i];
		message = &messages->list[messages->n];
		message->file = strdup(parser->files[fault->place.file]);
		if (!message->file)
			return -ENOMEM;
		message->text = take_ptr(fault->text);
		message->line = fault->place.line;
		message->warning = fault->warning;
		message->unsafe = fault->unsafe;
		messages->n++;
		if (!message->warning)
			messages->n_errors++;
	}
	return 0;
}
