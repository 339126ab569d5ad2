// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For LD_PRELOAD: lets the HF_FAULT_NTH-th of the calls below fail with ENOMEM
 * in a program named holdfastd, and appends what it was to HF_FAULT_LOG; the 0th:
 * none fails, and all are noted.
 * Calls: bpf(2), through syscall(); opening, making, locking and moving what
 * has HF_FAULT_PATH in its name; sockets, but for the one that says READY=1;
 * namespaces and event sources.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int count;

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void note(const char *what, long detail)
{
	const char *path = getenv("HF_FAULT_LOG");
	char line[64];
	int length = snprintf(line, sizeof(line), "%d %s %ld\n", count, what, detail);
	int (*open_file)(const char *, int, ...) = next("open");
	int fd = path ? open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;

	if (fd < 0)
		return;
	if (write(fd, line, (size_t)length) < 0)
		perror("fault");
	close(fd);
}

/* Whether this call is the one; errno is set then. */
static bool fails(const char *what, long detail)
{
	const char *nth = getenv("HF_FAULT_NTH");

	if (!nth || strcmp(program_invocation_short_name, "holdfastd") != 0)
		return false;
	if (++count != atoi(nth) && atoi(nth) != 0)
		return false;
	note(what, detail);
	if (atoi(nth) == 0)
		return false;
	errno = ENOMEM;
	return true;
}

static bool is_pin(const char *path)
{
	const char *part = getenv("HF_FAULT_PATH");

	return part && strstr(path, part);
}

long syscall(long number, ...)
{
	long (*real)(long, ...) = next("syscall");
	long a[6];
	va_list list;
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && fails("bpf", a[0]))
		return -1;
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = next("open");
	mode_t mode = 0;
	va_list list;

	va_start(list, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(list, mode_t);
	va_end(list);
	return is_pin(path) && fails("open", flags) ? -1 : real(path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t) = next("mkdir");

	return is_pin(path) && fails("mkdir", 0) ? -1 : real(path, mode);
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *, const char *) = next("rename");

	return is_pin(to) && fails("rename", 0) ? -1 : real(from, to);
}

int flock(int fd, int operation)
{
	int (*real)(int, int) = next("flock");

	return fails("flock", operation) ? -1 : real(fd, operation);
}

/* The way into a namespace only: who can't come back from there has to end, as in a crash. */
int setns(int fd, int type)
{
	int (*real)(int, int) = next("setns");
	static bool inside;

	if (!inside && fails("setns", type))
		return -1;
	inside = !inside;
	return real(fd, type);
}

int socket(int family, int type, int protocol)
{
	int (*real)(int, int, int) = next("socket");

	return family != AF_UNIX && fails("socket", family) ? -1 : real(family, type, protocol);
}

int epoll_create1(int flags)
{
	int (*real)(int) = next("epoll_create1");

	return fails("epoll_create1", flags) ? -1 : real(flags);
}

int timerfd_create(int clock, int flags)
{
	int (*real)(int, int) = next("timerfd_create");

	return fails("timerfd_create", clock) ? -1 : real(clock, flags);
}
