/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf/ turns configuration files into rules, and reports each fault with its file and line.
 * It calls base/ and rules/.
 */

/*
 * Reads the configuration: files, drop-ins, sections and keys. Reports every fault by file and
 * line.
 */
#ifndef HOLDFAST_CONF_CONF_H
#define HOLDFAST_CONF_CONF_H

#include "conf/message.h"
#include "rules/rules.h"

#define CONF_DEFAULT_FILE    "/etc/holdfast/holdfast.conf"
#define CONF_DEFAULT_DROPINS "/etc/holdfast/holdfast.conf.d"

/*
 * Reads the configuration from the file at path. If path is NULL, reads the default file and its
 * drop-ins; if there are none of them, sets the built-in default. Sets messages to all faults
 * found; the caller frees them also on failure.
 *
 * Returns 0: the caller frees config, and messages may have warnings. Returns -EBADMSG if messages
 * has at least one error, or -ENOMEM. On failure config is unchanged.
 */
int conf_load(const char *path, struct config *config, struct conf_messages *messages);

/*
 * Does the same as conf_load(), but waits for no file longer than patience_ms. A file that doesn't
 * end within that time (a FIFO or a terminal, for example) counts as unreadable.
 */
int conf_load_within(int patience_ms, const char *path, struct config *config,
		     struct conf_messages *messages);

/* Does the same as conf_load() with path NULL, but with another default file and drop-in folder. */
int conf_load_from(const char *file, const char *dropins, struct config *config,
		   struct conf_messages *messages);

/* Does the same as conf_load() with size bytes of text, which messages call `name`. */
int conf_parse_text(const char *name, const char *text, size_t size, struct config *config,
		    struct conf_messages *messages);

#endif
