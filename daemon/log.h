/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines to standard error, with priority prefixes where the journal listens. */
#ifndef HOLDFAST_LOG_H
#define HOLDFAST_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum log_level {
	LOG_LEVEL_ERROR = 3, /* syslog's numbers, which the journal takes as <N> */
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

struct log {
	bool prefix;	     /* standard error is the journal: sd-daemon(3) */
	enum log_level most; /* what is more verbose than this isn't written */
	FILE *copy;	     /* NULL, or where lines up to LOG_LEVEL_INFO go as well */
};

/* Finds out whether standard error is the journal ($JOURNAL_STREAM). */
void log_init(struct log *log, bool verbose);

/* One line; a newline is added. */
__attribute__((format(printf, 3, 4))) void log_line(const struct log *log, enum log_level level,
						    const char *format, ...);

#define log_error(log, ...)   log_line((log), LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_line((log), LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(log, ...)  log_line((log), LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(log, ...)    log_line((log), LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...)   log_line((log), LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
