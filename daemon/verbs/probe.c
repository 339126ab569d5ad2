// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * holdfast probe: has the kernel send a keepalive probe on every held socket
 * now, waits, and says which answered.
 */
#include "base/clock.h"
#include "base/util.h"
#include "conf/value.h"
#include "show/probe.h"
#include "sockets/filter.h"
#include "sockets/probe.h"
#include "sockets/probe_keeper.h"
#include "verbs/command.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEFAULT_WAIT_S 3
#define MAX_WAIT_S     300
#define POLL_NS	       (10L * 1000 * 1000)

/* The longest tick that kernels have: idle times are no more exact than that. */
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

	*options = (struct options){.wait_s = DEFAULT_WAIT_S};
	while ((option = getopt_long(argc, argv, "Jw:h", known, NULL)) != -1) {
		switch (option) {
		case 'J':
			options->json = true;
			break;
		case 'w':
			if (value_number(optarg, 1, MAX_WAIT_S, &options->wait_s, NULL)) {
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

/* Chooses the sockets of the snapshot to probe. Returns 0 or -ENOMEM. */
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

static struct probe_result *find(const struct probe_results *results, uint64_t cookie)
{
	struct snapshot_socket socket = {.diag.cookie = cookie};
	const struct probe_result key = {.socket = &socket};

	return bsearch(&key, results->list, results->n, sizeof(key), by_cookie);
}

/* Notes that the kernel refused to have this socket probed, so that no answer can come. */
static int refused(const void *record, void *arg)
{
	const struct hf_sweep *sweep = record;
	struct probe_result *result = find(arg, sweep->cookie);

	if (result)
		result->outcome = PROBE_REFUSED;
	return 0;
}

static int look(const struct diag_socket *diag, void *arg)
{
	struct waiting *waiting = arg;
	struct probe_result *result = find(waiting->results, diag->cookie);
	int64_t sent_ms, received_ms;

	if (!result)
		return 0;
	result->round = waiting->results->round;
	if (result->outcome != PROBE_WAITING)
		return 0;
	/* A socket that hadn't been idle for a second is probed once it has. */
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

/* Begins a dump, or begins it again: answers that were seen stay seen. */
static void look_now(void *arg)
{
	struct waiting *waiting = arg;

	waiting->now_ms = monotonic_ms();
}

/* Looks at the sockets of every namespace once. *left is how many have no outcome yet. */
static int look_everywhere(const struct netns_list *namespaces, const struct port_filter *filter,
			   struct waiting *waiting, size_t *left, struct error *e)
{
	const struct diag_dump open = {.states = 1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT,
				       .filter = filter,
				       .info = true,
				       .fn = look,
				       .restart = look_now,
				       .arg = waiting};
	struct probe_results *results = waiting->results;
	size_t i;
	int err;

	results->round++;
	for (i = 0; i < namespaces->n; i++) {
		err = sockdiag_read(&namespaces->list[i], &open, e);
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

/* Removes the namespaces in which there is nothing to probe. */
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

/*
 * Finds the namespaces in which there is something to probe. Those that are too many to be kept
 * open are entered by way of a process, and are found anew once that has ended: -ENOENT says so.
 * One that isn't found any more has gone, with its sockets.
 */
static int find_needed(const struct data_plane *plane, const struct probe_results *results,
		       struct netns_list *namespaces, struct error *e)
{
	int err;

	netns_list_free(namespaces);
	err = netns_find(&plane->pins, namespaces, e);
	if (!err)
		keep_needed(namespaces, results);
	return err;
}

/* More than once a namespace loses its process only where processes come and go all the time. */
#define FINDS 3

static int wait_for_answers(const struct data_plane *plane, struct netns_list *namespaces,
			    const struct port_filter *filter, struct probe_results *results,
			    int64_t begun_ms, unsigned wait_s, struct error *e)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	struct waiting waiting = {.results = results, .begun_ms = begun_ms};
	unsigned found = 0;
	size_t left = 1;
	int err;

	do {
		nanosleep(&pause, NULL);
		err = look_everywhere(namespaces, filter, &waiting, &left, e);
		if (err == -ENOENT && found++ < FINDS)
			err = find_needed(plane, results, namespaces, e);
	} while (!err && left && monotonic_ms() - waiting.begun_ms < (int64_t)wait_s * 1000);
	return err;
}

/* Begins the probes, or ends those that were begun by `until`. */
static int probe_in_all(const struct data_plane *plane, struct netns_list *namespaces,
			const uint64_t *cookies, struct probe_results *results, uint32_t until,
			struct error *e)
{
	unsigned found = 0;
	int err;

	for (;;) {
		err = until ? probe_end(plane, namespaces, cookies, results->n, until, e)
			    : probe_begin(plane, namespaces, cookies, results->n, refused, results,
					  e);
		if (err != -ENOENT || found++ == FINDS)
			return err;
		err = find_needed(plane, results, namespaces, e);
		if (err)
			return err;
	}
}

static int probe(const struct data_plane *plane, const struct snapshot *snapshot,
		 struct probe_results *results, unsigned wait_s, struct error *e)
{
	_cleanup_free_ uint64_t *cookies = calloc(results->n + 1, sizeof(*cookies));
	struct netns_list namespaces = {0};
	struct port_filter filter = {0};
	struct probe_keeper keeper = PROBE_KEEPER_INIT;
	struct error ignored;
	int err, ended;
	size_t i;

	if (!cookies || port_filter_init(&filter, &snapshot->config) < 0)
		return error_set(e, ENOMEM, "out of memory");
	qsort(results->list, results->n, sizeof(*results->list), by_cookie);
	for (i = 0; i < results->n; i++)
		cookies[i] = results->list[i].socket->diag.cookie;
	err = find_needed(plane, results, &namespaces, e);
	if (!err) {
		err = probe_keeper_start(&keeper, plane, &namespaces, cookies, results->n);
		if (err)
			error_set(e, -err, "can't start a process: %s", strerror(-err));
	}
	if (!err) {
		uint32_t until;
		int64_t begun_ms =
			monotonic_ms(); /* first answers come before the last probe is sent */

		err = probe_in_all(plane, &namespaces, cookies, results, 0, e);
		until = probe_until();
		if (!err)
			err = wait_for_answers(plane, &namespaces, &filter, results, begun_ms,
					       wait_s, e);
		ended = probe_in_all(plane, &namespaces, cookies, results, until,
				     err ? &ignored : e);
		probe_keeper_stop(&keeper, !ended);
		err = err ? err : ended;
	}
	netns_list_free(&namespaces);
	port_filter_free(&filter);
	return err;
}

static int probe_and_show(const struct data_plane *plane, const struct snapshot *snapshot,
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
	struct data_plane plane = DATA_PLANE_INIT;
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
		data_plane_close(&plane);
		return command_failed(&e);
	}
	if (snapshot.attached && !snapshot.daemon_pid)
		command_say_daemon_gone();
	err = filter_init(&filter, &snapshot.config, argc - optind, argv + optind, &e);
	if (err) {
		command_failed(&e);
		status = err == -EINVAL ? STATUS_USAGE : STATUS_BROKEN;
	} else {
		status = probe_and_show(&plane, &snapshot, &filter, &options);
		filter_free(&filter);
	}
	snapshot_free(&snapshot);
	data_plane_close(&plane);
	return status;
}
