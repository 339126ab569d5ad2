/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the configuration: files, drop-ins, sections, keys, with every fault
 * reported by file and line.
 */
#ifndef HOLDFAST_CONF_H
#define HOLDFAST_CONF_H

#include "rules.h"

#define CONF_DEFAULT_FILE    "/etc/holdfast/holdfast.conf"
#define CONF_DEFAULT_DROPINS "/etc/holdfast/holdfast.conf.d"

/* Longest line, without its newline, in bytes. */
#define CONF_LINE_MAX 4095

struct conf_message {
	bool warning;  /* else it is an error */
	char *file;    /* as it was named; owned */
	unsigned line; /* from 1; 0: the file as a whole */
	char *text;    /* "what is wrong (what to write instead)"; owned */
	bool unsafe;   /* somebody else can write to the file */
};

/* Faults, in the order of files and lines. */
struct conf_messages {
	struct conf_message *list; /* owned */
	size_t n;
	size_t n_errors;
};

void conf_messages_free(struct conf_messages *messages);

/* "FILE:LINE: error: TEXT" (line 0: the file as a whole), without a newline; the caller frees it.
 * NULL: out of memory. */
char *conf_message_format(const struct conf_message *message);

/*
 * Makes errors of the warnings that somebody else than root, or than us, can write
 * to a file: for who acts as it says. -EBADMSG: there are some.
 */
int conf_refuse_unsafe(struct conf_messages *messages);

/*
 * Reads one file (path given), or with path NULL the default file and its
 * drop-ins, or the built-in default where there is neither. Every fault lands
 * in messages, which the caller frees also on failure.
 *
 * 0: config is the caller's to free; there may be warnings. -EBADMSG: at least
 * one error in messages. -ENOMEM. On failure config is untouched.
 */
int conf_load(const char *path, struct config *config, struct conf_messages *messages);

/*
 * The same for who has other things to do: a FIFO or terminal that doesn't give all of it within
 * that time can't be read.
 */
int conf_load_within(int patience_ms, const char *path, struct config *config,
		     struct conf_messages *messages);

/* conf_load() with other places for the default file and the drop-in folder. */
int conf_load_from(const char *file, const char *dropins, struct config *config,
		   struct conf_messages *messages);

/* The same from memory: text of size bytes, called `name` in messages. */
int conf_parse_text(const char *name, const char *text, size_t size, struct config *config,
		    struct conf_messages *messages);

#endif
