// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void log_init(struct log *log, bool verbose)
{
	const char *stream = getenv("JOURNAL_STREAM"); /* "DEVICE:INODE" */
	uintmax_t device, inode;
	struct stat st;

	log->copy = NULL;
	log->most = verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
	log->prefix = stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
		      fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_line(const struct log *log, enum log_level level, const char *format, ...)
{
	char line[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (log->copy && level <= LOG_LEVEL_INFO)
		fprintf(log->copy, "%s\n", line);
	if (level > log->most)
		return;
	if (log->prefix)
		fprintf(stderr, "<%d>%s\n", level, line);
	else
		fprintf(stderr, "%s\n", line);
}
