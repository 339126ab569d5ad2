// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/iter.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#define BUFFER_SIZE (128u * 1024u)

int iter_open(const struct pins *pins, const char *name, struct error *e)
{
	char path[PATH_MAX];
	int fd;

	pins_path(pins, name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, errno, "can't open the iterator %s: %s", path, strerror(errno));
	return fd;
}

int iter_read(int fd, size_t record_size, iter_fn fn, void *arg, struct error *e)
{
	_cleanup_free_ uint8_t *buffer = malloc(BUFFER_SIZE);
	size_t have = 0, at;
	ssize_t got;
	int ret;

	if (!buffer)
		return error_set(e, ENOMEM, "out of memory");
	for (;;) {
		got = read(fd, buffer + have, BUFFER_SIZE - have);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return error_set(e, errno, "reading an iterator: %s", strerror(errno));
		if (got == 0)
			break;
		have += (size_t)got;
		for (at = 0; have - at >= record_size; at += record_size) {
			ret = fn(buffer + at, arg);
			if (ret == -ENOMEM)
				return error_set(e, ENOMEM, "out of memory");
			if (ret)
				return ret;
		}
		have -= at;
		memmove(buffer, buffer + at, have);
	}
	if (have)
		return error_set(e, EPROTO, "an iterator ended in the middle of a record");
	return 0;
}

int iter_run(const struct pins *pins, const char *name, size_t record_size, iter_fn fn, void *arg,
	     struct error *e)
{
	_cleanup_close_ int fd = iter_open(pins, name, e);

	if (fd < 0)
		return fd;
	return iter_read(fd, record_size, fn, arg, e);
}
