// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/standard_streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void standard_streams_begin(void)
{
	int fd;

	/* open() returns the lowest number that is free. */
	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

bool standard_streams_written(void)
{
	bool failed = ferror(stdout);

	errno = 0;
	return fflush(stdout) == 0 && !failed;
}
