// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opens a crowd of idle connections over loopback. It is spread over several processes, because no
 * process may have that many descriptors.
 *
 *   crowd PORT CONNECTIONS
 *
 * Every pair of processes has up to SHARE connections: one process accepts at 127.1.X.1, where X is
 * the number of the pair, and the other connects. Prints "ready" when all are open, and ends all
 * processes when its standard input ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SHARE	10000
#define BACKLOG 1024

static void die(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Reports with one byte that the work is done, and then sleeps for ever. */
static void rest(int report)
{
	if (write(report, "", 1) != 1)
		exit(1);
	for (;;)
		pause();
}

static void be_server(int listener, int n, int report)
{
	int i;

	for (i = 0; i < n; i++) {
		if (accept(listener, NULL, NULL) < 0)
			die("accept");
	}
	rest(report);
}

static void be_client(const struct sockaddr_in *address, int n, int report)
{
	int i, fd;

	for (i = 0; i < n; i++) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
			die("connect");
	}
	rest(report);
}

static int listen_at(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	const int on = 1;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		die("listen");
	return fd;
}

static void in_child(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct rlimit limit;
	int report[2], left, pairs = 0, i, share, listener;
	pid_t self = getpid();
	char byte;

	if (argc != 3) {
		fprintf(stderr, "usage: crowd PORT CONNECTIONS\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (pipe(report) < 0)
		die("pipe");
	address.sin_port = htons((in_port_t)atoi(argv[1]));
	for (left = atoi(argv[2]); left > 0; left -= share, pairs++) {
		share = left < SHARE ? left : SHARE;
		address.sin_addr.s_addr = htonl(0x7f010001u + ((unsigned)pairs << 8));
		listener = listen_at(&address);
		if (fork() == 0) {
			in_child(self);
			be_server(listener, share, report[1]);
		}
		close(listener);
		if (fork() == 0) {
			in_child(self);
			be_client(&address, share, report[1]);
		}
	}
	for (i = 0; i < 2 * pairs; i++) {
		if (read(report[0], &byte, 1) != 1)
			die("read");
	}
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
