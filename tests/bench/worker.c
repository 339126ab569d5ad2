// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does one thing many times over and measures how long that takes. Each line on standard input is
 * an order; the answer on standard output is a number of nanoseconds:
 *
 *   connect PORT N    connect, accept, close, close over loopback
 *   nodelay PORT N    setsockopt(TCP_NODELAY) on one connection
 *   keepidle PORT N   setsockopt(TCP_KEEPIDLE) on one connection
 *
 * One thread does both ends: over loopback a connection is established when connect() returns, so
 * that accept() never waits.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "worker: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

/* Returns the listener on a port, which it opens at the first call. */
static int listener_of(in_port_t port)
{
	static struct {
		in_port_t port;
		int fd;
	} known[16];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int on = 1;
	size_t i;

	for (i = 0; known[i].fd; i++) {
		if (known[i].port == port)
			return known[i].fd;
	}
	if (i == sizeof(known) / sizeof(known[0]) - 1) {
		errno = ENOSPC;
		die("listeners");
	}
	known[i].fd = open_socket();
	known[i].port = port;
	setsockopt(known[i].fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(known[i].fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(known[i].fd, 128) < 0)
		die("listen");
	return known[i].fd;
}

static void pair(in_port_t port, unsigned host, int fds[2])
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(0x7f000001u + (host % 250) * 256),
	};
	int listener = listener_of(port);

	fds[0] = open_socket();
	if (connect(fds[0], (struct sockaddr *)&address, sizeof(address)) < 0)
		die("connect");
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fds[1] < 0)
		die("accept");
}

static long long do_connect(in_port_t port, long n)
{
	static unsigned host;
	long long start;
	int fds[2];

	listener_of(port);
	for (start = now_ns(); n > 0; n--) {
		pair(port, host++, fds);
		close(fds[0]);
		close(fds[1]);
	}
	return now_ns() - start;
}

static long long do_option(in_port_t port, long n, int option, int value)
{
	long long start;
	int fds[2];

	pair(port, 0, fds);
	for (start = now_ns(); n > 0; n--) {
		if (setsockopt(fds[0], IPPROTO_TCP, option, &value, sizeof(value)) < 0)
			die("setsockopt");
	}
	start = now_ns() - start;
	close(fds[0]);
	close(fds[1]);
	return start;
}

static int last_cpu(void)
{
	cpu_set_t cpus;
	int i, last = 0;

	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	for (i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET((size_t)i, &cpus))
			last = i;
	}
	return last;
}

int main(void)
{
	char line[128], what[32];
	unsigned port;
	const struct sched_param first = {.sched_priority = 1};
	cpu_set_t cpu;
	long long ns;
	long n;

	/*
	 * Puts all workers on the same CPU, ahead of other processes. Where that isn't allowed, the
	 * measurement is noisier.
	 */
	CPU_ZERO(&cpu);
	CPU_SET((size_t)last_cpu(), &cpu);
	sched_setaffinity(0, sizeof(cpu), &cpu);
	sched_setscheduler(0, SCHED_FIFO, &first);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "%31s %u %ld", what, &port, &n) != 3)
			return 2;
		if (strcmp(what, "connect") == 0)
			ns = do_connect((in_port_t)port, n);
		else if (strcmp(what, "nodelay") == 0)
			ns = do_option((in_port_t)port, n, TCP_NODELAY, 1);
		else if (strcmp(what, "keepidle") == 0)
			ns = do_option((in_port_t)port, n, TCP_KEEPIDLE, 7000);
		else
			return 2;
		printf("%lld\n", ns);
		fflush(stdout);
	}
	return 0;
}
