/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a configuration, by file and line. */
#ifndef HOLDFAST_CONF_MESSAGE_H
#define HOLDFAST_CONF_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
