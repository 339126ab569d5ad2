// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/probe_keeper.h"

#include "sockets/probe.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Is the keeper: waits for a byte, which says that the probes have been ended, or for the end of
 * the process that began them. Doesn't return.
 */
static _Noreturn void keep(int fd, const struct data_plane *plane,
			   const struct netns_list *namespaces, const uint64_t *cookies, size_t n)
{
	struct data_plane alone = *plane;
	struct error ignored;
	int err = 0;
	char word = 0;

	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* With its copy of the pin dir's lock it would keep the next daemon from starting. */
	if (alone.pins.fd >= 0)
		close(alone.pins.fd);
	alone.pins.fd = -1;
	alone.progress = (struct progress){0};
	if (send(fd, &word, 1, MSG_NOSIGNAL) == 1 && read(fd, &word, 1) != 1)
		err = probe_end(&alone, namespaces, cookies, n, probe_until(), &ignored);
	_exit(err ? EXIT_FAILURE : EXIT_SUCCESS);
}

int probe_keeper_start(struct probe_keeper *keeper, const struct data_plane *plane,
		       const struct netns_list *namespaces, const uint64_t *cookies, size_t n)
{
	int ends[2], err;
	char word;

	*keeper = (struct probe_keeper)PROBE_KEEPER_INIT;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	keeper->pid = fork();
	if (keeper->pid < 0) {
		err = -errno;
		close(ends[0]);
		close(ends[1]);
		return err;
	}
	if (keeper->pid == 0) {
		close(ends[1]);
		keep(ends[0], plane, namespaces, cookies, n);
	}
	close(ends[0]);
	/* Waits until signals that may kill us don't reach the child any more. */
	if (read(ends[1], &word, 1) == 1) {
		keeper->fd = ends[1];
		return 0;
	}
	close(ends[1]);
	waitpid(keeper->pid, NULL, 0);
	return -ECHILD;
}

void probe_keeper_stop(struct probe_keeper *keeper, bool ended)
{
	if (keeper->fd < 0)
		return;
	if (ended) /* this fails if the keeper was killed, which doesn't matter any more */
		send(keeper->fd, "", 1, MSG_NOSIGNAL);
	close(keeper->fd);
	keeper->fd = -1;
	waitpid(keeper->pid, NULL, 0);
}
