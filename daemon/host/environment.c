// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/environment.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* The inode number of the first PID namespace since Linux 3.8: PROC_PID_INIT_INO. */
#define FIRST_PID_NAMESPACE 0xEFFFFFFCu

int environment_check_processes(struct error *e)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) < 0)
		return errno == ENOENT /* the kernel has no PID namespaces */
			       ? 0
			       : error_set(e, errno, "/proc/self/ns/pid: %s", strerror(errno));
	if (st.st_ino == FIRST_PID_NAMESPACE)
		return 0;
	return error_set(e, EOPNOTSUPP,
			 "this is a PID namespace of its own, which hides the host's processes and "
			 "their sockets (in a container, share the host's: hostPID: true, or "
			 "--pid=host; a node that is itself a container, as of kind or k3d, "
			 "can't be shared so: install holdfast on the machine below it)");
}

bool environment_mounts_end(void)
{
	struct stat ours, first;

	return stat("/proc/self/ns/mnt", &ours) == 0 && stat("/proc/1/ns/mnt", &first) == 0 &&
	       ours.st_ino != first.st_ino;
}
