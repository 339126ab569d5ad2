// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/client.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/util.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* To leave in its own way; then, to heed a signal. */
#define LEAVE_MS 3000
#define HEED_MS	 1000
#define POLL_NS	 (10L * 1000 * 1000)

/* Both ends of each: to read from, to write to. */
enum { INPUT, OUTPUT, FAILURE, N_PIPES };
struct pipes {
	int ends[N_PIPES][2];
};

/* In the child. What fails is told through the third pipe, which exec() closes. */
static _Noreturn void become(const struct pipes *pipes, const char *mark, pid_t parent,
			     char *const *argv)
{
	sigset_t none;
	int err;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && dup2(pipes->ends[INPUT][0], STDIN_FILENO) >= 0 &&
	    dup2(pipes->ends[OUTPUT][1], STDOUT_FILENO) >= 0 &&
	    dup2(pipes->ends[OUTPUT][1], STDERR_FILENO) >= 0 &&
	    setenv(CLIENT_VARIABLE, mark, 1) == 0)
		execvp(argv[0], argv);
	err = errno;
	_exit(write(pipes->ends[FAILURE][1], &err, sizeof(err)) == sizeof(err) ? 127 : 126);
}

static void close_all(struct pipes *pipes)
{
	size_t i;

	for (i = 0; i < N_PIPES; i++) {
		cleanup_close(&pipes->ends[i][0]);
		cleanup_close(&pipes->ends[i][1]);
	}
}

static int open_all(struct pipes *pipes)
{
	size_t i;

	for (i = 0; i < N_PIPES; i++) {
		if (pipe2(pipes->ends[i], O_CLOEXEC) < 0)
			return -errno;
	}
	return fcntl(pipes->ends[OUTPUT][0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int client_start(struct client *client, char *const *argv, unsigned number, struct error *e)
{
	struct pipes pipes = {{{-1, -1}, {-1, -1}, {-1, -1}}};
	pid_t parent = getpid();
	int err = open_all(&pipes), failure;

	*client = (struct client)CLIENT_INIT;
	client->started_ms = monotonic_ms();
	snprintf(client->mark, sizeof(client->mark), "%d.%u", parent, number);
	if (!err) {
		client->pid = fork();
		err = client->pid < 0 ? -errno : 0;
	}
	if (err) {
		client->pid = 0;
		close_all(&pipes);
		return error_set(e, -err, "can't start a process: %s", strerror(-err));
	}
	if (client->pid == 0)
		become(&pipes, client->mark, parent, argv);
	client->input = take_fd(&pipes.ends[INPUT][1]);
	client->output = take_fd(&pipes.ends[OUTPUT][0]);
	close(take_fd(&pipes.ends[FAILURE][1]));
	if (read(pipes.ends[FAILURE][0], &failure, sizeof(failure)) == sizeof(failure))
		err = error_set(e, failure, "can't run '%s': %s", argv[0], strerror(failure));
	close_all(&pipes);
	return err;
}

static void keep_tail(struct client *client, const char *text, size_t size)
{
	size_t over;

	if (size > CLIENT_TAIL_MAX) {
		text += size - CLIENT_TAIL_MAX;
		size = CLIENT_TAIL_MAX;
	}
	over = client->tail_size + size > CLIENT_TAIL_MAX
		       ? client->tail_size + size - CLIENT_TAIL_MAX
		       : 0;
	memmove(client->tail, client->tail + over, client->tail_size - over);
	client->tail_size -= over;
	memcpy(client->tail + client->tail_size, text, size);
	client->tail_size += size;
}

void client_attend(struct client *client)
{
	char text[4096];
	ssize_t got = 0;
	bool ended = client->ended;

	if (!client->pid)
		return;
	/* Before its output: what it has written by its end is all there is. */
	if (!client->ended && waitpid(client->pid, &client->status, WNOHANG) == client->pid)
		client->ended = true;
	while (client->output >= 0 && (got = read(client->output, text, sizeof(text))) > 0)
		keep_tail(client, text, (size_t)got);
	if (client->output >= 0 && (got == 0 || (client->ended && ended))) {
		close(client->output);
		client->output = -1;
	}
}

void client_last_words(const struct client *client, char *text, size_t size)
{
	size_t end = client->tail_size, begin;

	while (end && (client->tail[end - 1] == '\n' || client->tail[end - 1] == '\r'))
		end--;
	for (begin = end; begin && client->tail[begin - 1] != '\n';)
		begin--;
	text_escape(text, size, client->tail + begin, end - begin);
}

void client_describe_end(const struct client *client, char *text, size_t size)
{
	char words[512];
	int used;

	client_last_words(client, words, sizeof(words));
	if (WIFSIGNALED(client->status))
		used = snprintf(text, size, "the command was ended by signal %d",
				WTERMSIG(client->status));
	else
		used = snprintf(text, size, "the command has ended by itself with exit status %d",
				WEXITSTATUS(client->status));
	if (words[0] && used > 0 && (size_t)used < size)
		snprintf(text + used, size - (size_t)used, ": %s", words);
}

/* Waits for all of them, but not for longer than that. False: not all have ended. */
static bool wait_for_all(struct client *const *clients, size_t n, int64_t ms)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	int64_t until = monotonic_ms() + ms;
	size_t i, left;

	for (;;) {
		for (left = i = 0; i < n; i++) {
			client_attend(clients[i]);
			left += clients[i]->pid && !clients[i]->ended;
		}
		if (!left || monotonic_ms() >= until)
			return !left;
		nanosleep(&pause, NULL);
	}
}

/* To its session, whoever is left of it. */
static void signal_all(struct client *const *clients, size_t n, int number)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (clients[i]->pid && !clients[i]->ended)
			kill(-clients[i]->pid, number);
	}
}

void clients_end(struct client *const *clients, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (clients[i]->input >= 0)
			close(clients[i]->input);
		clients[i]->input = -1;
	}
	if (!wait_for_all(clients, n, LEAVE_MS)) {
		signal_all(clients, n, SIGTERM);
		if (!wait_for_all(clients, n, HEED_MS)) {
			signal_all(clients, n, SIGKILL);
			wait_for_all(clients, n, HEED_MS);
		}
	}
	for (i = 0; i < n; i++) {
		if (clients[i]->output >= 0)
			close(clients[i]->output);
		clients[i]->output = -1;
	}
}
