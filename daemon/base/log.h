/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes log lines to standard error, with priority prefixes where it is the journal. */
#ifndef HOLDFAST_BASE_LOG_H
#define HOLDFAST_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

enum log_level {
	LOG_LEVEL_ERROR = 3, /* syslog's numbers, which the journal reads as <N> */
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

struct log {
	bool prefix;	     /* lines get the prefixes of sd-daemon(3) */
	enum log_level most; /* the most verbose level that is written */
	FILE *copy;	     /* gets lines up to LOG_LEVEL_INFO, too; not owned; may be NULL */
};

/* Initializes log, and finds out from $JOURNAL_STREAM whether standard error is the journal.
 * verbose: writes LOG_LEVEL_DEBUG, too. */
void log_init(struct log *log, bool verbose);

/* Writes one line, and adds the newline. */
__attribute__((format(printf, 3, 4))) void log_line(const struct log *log, enum log_level level,
						    const char *format, ...);

#define log_error(log, ...)   log_line((log), LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_line((log), LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(log, ...)  log_line((log), LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(log, ...)    log_line((log), LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...)   log_line((log), LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
