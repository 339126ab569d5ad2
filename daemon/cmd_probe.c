// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * holdfast probe: has the kernel send a keepalive probe on every held socket
 * now, waits, and says which answered.
 */
#include "command.h"
#include "filter.h"
#include "probe.h"
#include "probe_show.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#define DEFAULT_WAIT_S 3
#define MAX_WAIT_S     300
#define POLL_NS	       (10L * 1000 * 1000)

/* The kernel's longest timer tick: idle times are no more exact. */
#define TICK_MS 10

struct options {
	bool json;
	unsigned wait_s;
};

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: holdfast probe [-J] [-w SECONDS] [FILTER...]\n"
		"Has the kernel send a keepalive probe on every held socket now, waits, and says\n"
		"which answered. The rule's values are back afterwards.\n\n"
		"  -J, --json           as JSON\n"
		"  -w, --wait SECONDS   how long to wait for answers (default: %d)\n"
		"  -h, --help           print this and exit\n\n"
		"FILTER: a rule's name, a peer's address or prefix, a verdict.\n"
		"Exit status 1: one that was probed didn't answer.\n",
		DEFAULT_WAIT_S);
}

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"json", no_argument, NULL, 'J'},
		{"wait", required_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;
	char *end;

	*options = (struct options){.wait_s = DEFAULT_WAIT_S};
	while ((option = getopt_long(argc, argv, "Jw:h", known, NULL)) != -1) {
		switch (option) {
		case 'J':
			options->json = true;
			break;
		case 'w':
			options->wait_s = (unsigned)strtoul(optarg, &end, 10);
			if (*optarg < '0' || *optarg > '9' || *end || !options->wait_s ||
			    options->wait_s > MAX_WAIT_S) {
				fprintf(stderr, "holdfast: --wait takes 1 to %d seconds\n",
					MAX_WAIT_S);
				return STATUS_USAGE;
			}
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	return -1;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Which sockets of the snapshot are to be probed. -ENOMEM. */
static int choose(const struct snapshot *snapshot, const struct filter *filter,
		  struct probe_results *results)
{
	size_t i;

	*results = (struct probe_results){.list = calloc(snapshot->n + 1, sizeof(*results->list))};
	if (!results->list)
		return -ENOMEM;
	for (i = 0; i < snapshot->n; i++) {
		const struct snapshot_socket *socket = &snapshot->sockets[i];
		bool held = socket->verdict == VERDICT_HELD || socket->verdict == VERDICT_OWN ||
			    socket->verdict == VERDICT_PROBING;

		if (held && filter_takes(filter, socket))
			results->list[results->n++] = (struct probe_result){.socket = socket};
	}
	return 0;
}

/*
 * Whoever kills us must not leave sockets with a time of a second. A child in a
 * session of its own waits for us to say that we have put it back, or to end
 * without a word; then it does so in our place. The socket to say it with, or
 * negative errno.
 */
static int keep_promise(const struct plane *plane, const struct netns_list *namespaces,
			const uint64_t *cookies, size_t n, pid_t *keeper)
{
	int ends[2], err = 0;
	struct error e;
	char word = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	*keeper = fork();
	if (*keeper < 0) {
		err = -errno;
		close(ends[0]);
		close(ends[1]);
		return err;
	}
	if (*keeper > 0) {
		close(ends[0]);
		/* Not before it is out of reach of what may kill us. */
		if (read(ends[1], &word, 1) == 1)
			return ends[1];
		close(ends[1]);
		waitpid(*keeper, NULL, 0);
		return -ECHILD;
	}
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	close(ends[1]);
	if (send(ends[0], &word, 1, MSG_NOSIGNAL) == 1 && read(ends[0], &word, 1) != 1)
		err = probe_end(plane, namespaces, cookies, n, &e);
	_exit(err ? STATUS_BROKEN : STATUS_OK);
}

struct waiting {
	struct probe_results *results;
	int64_t begun_ms, now_ms;
	size_t seen;
};

static int by_cookie(const void *a, const void *b)
{
	const struct probe_result *x = a, *y = b;

	return x->socket->diag.cookie < y->socket->diag.cookie
		       ? -1
		       : x->socket->diag.cookie > y->socket->diag.cookie;
}

static int look(const struct diag_socket *diag, void *arg)
{
	struct waiting *waiting = arg;
	struct snapshot_socket socket = {.diag.cookie = diag->cookie};
	const struct probe_result key = {.socket = &socket};
	struct probe_result *result;
	int64_t sent_ms, received_ms;

	result = bsearch(&key, waiting->results->list, waiting->results->n, sizeof(key), by_cookie);
	if (!result)
		return 0;
	result->round = waiting->results->round;
	if (result->outcome != PROBE_WAITING)
		return 0;
	/* One that hasn't idled for a second yet is probed when it has. */
	sent_ms = result->socket->received_ms + HF_PROBE_TIME_S * 1000;
	if (sent_ms < waiting->begun_ms)
		sent_ms = waiting->begun_ms;
	received_ms = waiting->now_ms - diag->idle_ms;
	if (received_ms + TICK_MS < sent_ms || received_ms <= result->socket->received_ms + TICK_MS)
		return 0;
	result->outcome = PROBE_ANSWERED;
	result->ms = received_ms > sent_ms ? received_ms - sent_ms : 0;
	return 0;
}

/* One look at every namespace; how many are still waited for in *left. */
static int look_everywhere(const struct netns_list *namespaces, const struct port_filter *filter,
			   struct waiting *waiting, size_t *left, struct error *e)
{
	struct probe_results *results = waiting->results;
	size_t i;
	int err;

	results->round++;
	for (i = 0; i < namespaces->n; i++) {
		_cleanup_close_ int fd = sockdiag_open_in(&namespaces->list[i], e);

		if (fd < 0)
			return fd;
		waiting->now_ms = now_ms();
		err = sockdiag_dump(fd, 1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT, filter, true,
				    look, waiting, e);
		if (err && err != -EINTR)
			return err;
	}
	*left = 0;
	for (i = 0; i < results->n; i++) {
		struct probe_result *result = &results->list[i];

		if (result->outcome == PROBE_WAITING && result->round != results->round)
			result->outcome = PROBE_GONE;
		*left += result->outcome == PROBE_WAITING;
	}
	return 0;
}

static int wait_for_answers(const struct netns_list *namespaces, const struct port_filter *filter,
			    struct probe_results *results, int64_t begun_ms, unsigned wait_s,
			    struct error *e)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	struct waiting waiting = {.results = results, .begun_ms = begun_ms};
	size_t left = 0;
	int err;

	do {
		nanosleep(&pause, NULL);
		err = look_everywhere(namespaces, filter, &waiting, &left, e);
	} while (!err && left && now_ms() - waiting.begun_ms < (int64_t)wait_s * 1000);
	return err;
}

/* Keeps the namespaces in which there is something to probe. */
static void keep_needed(struct netns_list *namespaces, const struct probe_results *results)
{
	size_t i, j, kept = 0;

	for (i = 0; i < namespaces->n; i++) {
		for (j = 0; j < results->n; j++) {
			if (results->list[j].socket->netns == namespaces->list[i].inode)
				break;
		}
		if (j < results->n)
			namespaces->list[kept++] = namespaces->list[i];
		else
			netns_free(&namespaces->list[i]);
	}
	namespaces->n = kept;
}

static int probe(const struct plane *plane, const struct snapshot *snapshot,
		 struct probe_results *results, unsigned wait_s, struct error *e)
{
	_cleanup_free_ uint64_t *cookies = calloc(results->n + 1, sizeof(*cookies));
	struct netns_list namespaces = {0};
	struct port_filter filter = {0};
	int err, promise = -1;
	struct error ignored;
	pid_t keeper = 0;
	size_t i;

	if (!cookies || port_filter_init(&filter, &snapshot->config) < 0)
		return error_set(e, ENOMEM, "out of memory");
	qsort(results->list, results->n, sizeof(*results->list), by_cookie);
	for (i = 0; i < results->n; i++)
		cookies[i] = results->list[i].socket->diag.cookie;
	err = netns_find(&plane->pins, &namespaces, e);
	if (!err) {
		keep_needed(&namespaces, results);
		promise = keep_promise(plane, &namespaces, cookies, results->n, &keeper);
		if (promise < 0)
			err = error_set(e, -promise, "can't start a process: %s",
					strerror(-promise));
	}
	if (promise >= 0) {
		int64_t begun_ms = now_ms(); /* answers come while the others are still asked */

		err = probe_begin(plane, &namespaces, cookies, results->n, e);
		if (!err)
			err = wait_for_answers(&namespaces, &filter, results, begun_ms, wait_s, e);
		if (probe_end(plane, &namespaces, cookies, results->n, err ? &ignored : e) == 0) {
			if (send(promise, "", 1, MSG_NOSIGNAL) < 0)
				err = err ? err : error_set(e, errno, "%s", strerror(errno));
		} else {
			err = err ? err : -EIO;
		}
		close(promise);
		waitpid(keeper, NULL, 0);
	}
	netns_list_free(&namespaces);
	port_filter_free(&filter);
	return err;
}

static int probe_and_show(const struct plane *plane, const struct snapshot *snapshot,
			  const struct filter *filter, const struct options *options)
{
	struct probe_results results;
	struct error e = {0};
	int status = STATUS_OK;
	size_t i;
	int err;

	err = choose(snapshot, filter, &results);
	if (err)
		error_set(&e, ENOMEM, "out of memory");
	if (!err && results.n)
		err = probe(plane, snapshot, &results, options->wait_s, &e);
	if (!err) {
		err = options->json ? probe_show_json(&results) : probe_show_table(&results);
		if (err)
			error_set(&e, -err, "showing the answers: %s", strerror(-err));
	}
	if (err)
		status = command_failed(&e);
	for (i = 0; !err && i < results.n; i++) {
		if (results.list[i].outcome != PROBE_ANSWERED)
			status = STATUS_NOT_WELL;
	}
	free(results.list);
	return status;
}

int probe_main(const struct command *command, int argc, char **argv)
{
	struct plane plane = PLANE_INIT;
	struct snapshot snapshot;
	struct options options;
	struct error e = {0};
	struct filter filter;
	int status, err;

	status = parse_options(argc, argv, &options);
	if (status >= 0)
		return status;
	status = command_open(command, NULL, &plane);
	if (status)
		return status;
	command_say_what_is_hidden();
	err = snapshot_take(&plane, &snapshot, &e);
	if (err) {
		plane_close(&plane);
		return command_failed(&e);
	}
	err = filter_init(&filter, &snapshot.config, argc - optind, argv + optind, &e);
	if (err) {
		command_failed(&e);
		status = err == -EINVAL ? STATUS_USAGE : STATUS_BROKEN;
	} else {
		status = probe_and_show(&plane, &snapshot, &filter, &options);
		filter_free(&filter);
	}
	snapshot_free(&snapshot);
	plane_close(&plane);
	return status;
}
