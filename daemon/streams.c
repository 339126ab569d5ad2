// SPDX-License-Identifier: GPL-2.0-or-later
#include "streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void streams_begin(void)
{
	int fd;

	/* The lowest number that is free is what open() returns. */
	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

bool streams_written(void)
{
	bool failed = ferror(stdout);

	errno = 0;
	return fflush(stdout) == 0 && !failed;
}
