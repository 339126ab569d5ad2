// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A library for LD_PRELOAD that injects faults. In a program named holdfastd or holdfast it lets
 * one of the calls below fail with ENOMEM, once, or kills or stops the program there. The file
 * HF_FAULT_ORDER says which call, as a struct order that can change at any time. The call that was
 * chosen is appended to HF_FAULT_LOG. With nth 0, no call fails and every KERNEL call is
 * logged.
 *
 * KERNEL calls: bpf(2), pidfd_open(2) and capset(2) through syscall(); open(), opendir(), fopen(),
 * mkdir(), statfs(), rename(), link() and unlink() on paths that contain HF_FAULT_PATH or are below
 * /proc; flock(), setns() into a namespace, sendto(), recvmsg(), and socket() but for AF_UNIX,
 * which the service manager is told through; epoll_create1() and timerfd_create(). MEMORY calls:
 * malloc() and its family. OPTION calls: setsockopt() of the keepalive and TCP options, which user
 * space sets where BPF can't.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

/* KILL, HANGUP and STOP send SIGKILL, SIGHUP or SIGSTOP in place of the error. */
enum kind { KERNEL = 1, MEMORY = 2, KILL = 4, OPTION = 8, HANGUP = 16, STOP = 32 };

/* The file HF_FAULT_ORDER. The test writes nth and kinds, and sets count to 0. */
struct order {
	int nth;   /* -1: nothing is counted */
	int kinds; /* bitwise OR of enum kind */
	int count;
};

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static struct order *order;
static pid_t self; /* calls of its child processes don't count */
static bool busy;  /* set in this library; its own calls don't count */

static void *next(const char *name)
{
	bool was = busy;
	void *found;

	busy = true;
	found = dlsym(RTLD_NEXT, name);
	busy = was;
	return found;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("HF_FAULT_ORDER");
	int (*open_file)(const char *, int, ...) = next("open");
	void *map;
	int fd;

	if (!path || (strcmp(program_invocation_short_name, "holdfastd") != 0 &&
		      strcmp(program_invocation_short_name, "holdfast") != 0))
		return;
	fd = open_file(path, O_RDWR | O_CLOEXEC);
	map = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	self = getpid();
	if (map != MAP_FAILED)
		order = map;
}

static void note(const char *what, long detail)
{
	const char *path = getenv("HF_FAULT_LOG");
	char line[64];
	int length = snprintf(line, sizeof(line), "%d %s %ld\n", order->count, what, detail);
	int (*open_file)(const char *, int, ...) = next("open");
	int fd = path ? open_file(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	if (write(fd, line, (size_t)length) < 0)
		perror("fault");
	close(fd);
}

/* Counts the call and returns whether it has to fail; errno is set to ENOMEM then. */
static bool fails(enum kind kind, const char *what, long detail)
{
	int before = errno;

	if (!order || order->nth < 0 || busy || getpid() != self || !(order->kinds & (int)kind))
		return false;
	if (++order->count != order->nth && order->nth != 0)
		return false;
	busy = true;
	if (order->nth != 0 || kind == KERNEL) /* others are too many to log all */
		note(what, detail);
	busy = false;
	errno = before;
	if (order->nth == 0)
		return false;
	if (order->kinds & KILL)
		kill(getpid(), SIGKILL);
	if (order->kinds & (HANGUP | STOP)) {
		kill(getpid(), order->kinds & STOP ? SIGSTOP : SIGHUP);
		errno = before;
		return false;
	}
	errno = ENOMEM;
	return true;
}

static bool is_ours(const char *path)
{
	const char *part = getenv("HF_FAULT_PATH");

	return part && (strstr(path, part) || strncmp(path, "/proc/", 6) == 0 ||
			strcmp(path, "/proc") == 0);
}

void *malloc(size_t size)
{
	return fails(MEMORY, "malloc", (long)size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails(MEMORY, "calloc", (long)(n * size)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails(MEMORY, "realloc", (long)size) ? NULL : __libc_realloc(p, size);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	return fails(MEMORY, "reallocarray", (long)(n * size)) ? NULL : __libc_realloc(p, n * size);
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
	if (number == SYS_bpf && fails(KERNEL, "bpf", a[0]))
		return -1;
	if (number == SYS_pidfd_open && fails(KERNEL, "pidfd_open", a[0]))
		return -1;
	if (number == SYS_capset && fails(KERNEL, "capset", 0))
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
	return is_ours(path) && fails(KERNEL, "open", flags) ? -1 : real(path, flags, mode);
}

DIR *opendir(const char *path)
{
	DIR *(*real)(const char *) = next("opendir");

	return is_ours(path) && fails(KERNEL, "opendir", 0) ? NULL : real(path);
}

FILE *fopen(const char *path, const char *mode)
{
	FILE *(*real)(const char *, const char *) = next("fopen");

	return is_ours(path) && fails(KERNEL, "fopen", 0) ? NULL : real(path, mode);
}

int mkdir(const char *path, mode_t mode)
{
	int (*real)(const char *, mode_t) = next("mkdir");

	return is_ours(path) && fails(KERNEL, "mkdir", 0) ? -1 : real(path, mode);
}

int statfs(const char *path, struct statfs *fs)
{
	int (*real)(const char *, struct statfs *) = next("statfs");

	return is_ours(path) && fails(KERNEL, "statfs", 0) ? -1 : real(path, fs);
}

int rename(const char *from, const char *to)
{
	int (*real)(const char *, const char *) = next("rename");

	return is_ours(to) && fails(KERNEL, "rename", 0) ? -1 : real(from, to);
}

int link(const char *from, const char *to)
{
	int (*real)(const char *, const char *) = next("link");

	return is_ours(to) && fails(KERNEL, "link", 0) ? -1 : real(from, to);
}

int unlink(const char *path)
{
	int (*real)(const char *) = next("unlink");

	return is_ours(path) && fails(KERNEL, "unlink", 0) ? -1 : real(path);
}

int flock(int fd, int operation)
{
	int (*real)(int, int) = next("flock");

	return fails(KERNEL, "flock", operation) ? -1 : real(fd, operation);
}

/*
 * Fails only on the way into a namespace. Where the way back fails, the daemon has to end, as in a
 * crash.
 */
int setns(int fd, int type)
{
	int (*real)(int, int) = next("setns");
	static bool inside;

	if (!inside && fails(KERNEL, "setns", type))
		return -1;
	inside = !inside;
	return real(fd, type);
}

int socket(int family, int type, int protocol)
{
	int (*real)(int, int, int) = next("socket");

	return family != AF_UNIX && fails(KERNEL, "socket", family) ? -1
								    : real(family, type, protocol);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	int (*real)(int, int, int, const void *, socklen_t) = next("setsockopt");
	bool ours = level == IPPROTO_TCP || (level == SOL_SOCKET && option == SO_KEEPALIVE);

	return ours && fails(OPTION, "setsockopt", option) ? -1
							   : real(fd, level, option, value, size);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
	       socklen_t to_size)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
		next("sendto");

	return fails(KERNEL, "sendto", fd) ? -1 : real(fd, data, size, flags, to, to_size);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t (*real)(int, struct msghdr *, int) = next("recvmsg");

	return fails(KERNEL, "recvmsg", fd) ? -1 : real(fd, message, flags);
}

int epoll_create1(int flags)
{
	int (*real)(int) = next("epoll_create1");

	return fails(KERNEL, "epoll_create1", flags) ? -1 : real(flags);
}

int timerfd_create(int clock, int flags)
{
	int (*real)(int, int) = next("timerfd_create");

	return fails(KERNEL, "timerfd_create", clock) ? -1 : real(clock, flags);
}
