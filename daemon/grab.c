// SPDX-License-Identifier: GPL-2.0-or-later
#include "grab.h"

#include "util.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static int grab(const struct owner *owner)
{
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, owner->pid, 0);
	int fd;

	if (process < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, process, owner->fd, 0);
	return fd < 0 ? -errno : fd;
}

int grab_socket(const struct owner *owners, size_t n, uint64_t cookie)
{
	uint64_t found;
	socklen_t size;
	int err = -ENOENT;
	size_t i;

	for (i = 0; i < n; i++) {
		_cleanup_close_ int fd = grab(&owners[i]);

		if (fd < 0) {
			if (fd != -ESRCH && fd != -EBADF)
				err = fd;
			continue;
		}
		size = sizeof(found);
		/* Since the look at /proc the number may have come to mean something else. */
		if (!cookie ||
		    (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &found, &size) == 0 && found == cookie))
			return take_fd(&fd);
	}
	return err;
}

bool grab_possible(void)
{
	return syscall(SYS_pidfd_getfd, -1, -1, 0) < 0 && errno != ENOSYS;
}
