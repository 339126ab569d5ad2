/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the configuration: files, drop-ins, sections, keys, with every fault
 * reported by file and line.
 */
#ifndef HOLDFAST_CONF_H
#define HOLDFAST_CONF_H

#include "conf_message.h"
#include "rules.h"

#define CONF_DEFAULT_FILE    "/etc/holdfast/holdfast.conf"
#define CONF_DEFAULT_DROPINS "/etc/holdfast/holdfast.conf.d"

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
