/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages: what is wrong with a configuration, by file and line. */
#ifndef HOLDFAST_CONF_MESSAGE_H
#define HOLDFAST_CONF_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the longest line, without its newline, in bytes. */
#define CONF_LINE_MAX 4095

struct conf_message {
	bool warning;  /* a warning; false: an error */
	char *file;    /* path or name as given; owned */
	unsigned line; /* from 1; 0: concerns the whole file */
	char *text;    /* "what is wrong (what to write instead)"; owned */
	bool unsafe;   /* warns that somebody else can write to the file or folder */
};

/* Messages in the order of files and lines. */
struct conf_messages {
	struct conf_message *list; /* owned */
	size_t n;
	size_t n_errors;
};

void conf_messages_free(struct conf_messages *messages);

/* Returns "FILE:LINE: error: TEXT" without a newline, which the caller frees. LINE is 0 if the
 * message concerns the whole file. NULL: out of memory. */
char *conf_message_format(const struct conf_message *message);

/*
 * Turns the warnings that users other than root and ourselves can write to a file or folder into
 * errors, for callers that act on the configuration. Returns -EBADMSG if there are any, else 0.
 */
int conf_refuse_unsafe(struct conf_messages *messages);

#endif
