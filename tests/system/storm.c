// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opens connection after connection to a listener of its own, and reads the keepalive settings of
 * each as soon as connect() returns.
 *
 *   storm PORT SECONDS TIME INTERVAL PROBES TIME INTERVAL PROBES
 *
 * Prints one JSON object: the number of connections, and how many of them had the first three
 * values, had the second three, were being probed, had a mixture, or had keepalive off.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define N_CLIENTS 2

struct settings {
	int on, time, interval, probes;
};

struct result {
	unsigned long connections, first, second, probed, mixed, none, changed;
	struct settings example; /* an example of a mixture */
	int error;
};

static struct sockaddr_in address;
static struct settings expected[2];
static struct timespec end;

static void *serve(void *arg)
{
	int listener = *(int *)arg;

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static int option(int fd, int level, int name)
{
	socklen_t size = sizeof(int);
	int value = -1;

	return getsockopt(fd, level, name, &value, &size) < 0 ? -1 : value;
}

static struct settings look(int fd)
{
	return (struct settings){
		option(fd, SOL_SOCKET, SO_KEEPALIVE), option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
		option(fd, IPPROTO_TCP, TCP_KEEPINTVL), option(fd, IPPROTO_TCP, TCP_KEEPCNT)};
}

static bool equal(const struct settings *a, const struct settings *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * Reads the settings until two readings agree: rules that change between two calls of getsockopt()
 * would look like a mixture.
 */
static struct settings settled(int fd, struct result *result)
{
	struct settings now = look(fd), again = look(fd);

	while (!equal(&now, &again)) {
		result->changed++;
		now = again;
		again = look(fd);
	}
	return now;
}

/*
 * Returns whether the socket is being probed: it has the shortest time for a moment, and the rest
 * as the rules say.
 */
static bool probed(const struct settings *now)
{
	struct settings whole = *now;
	int i;

	for (i = 0; i < 2; i++) {
		whole.time = expected[i].time;
		if (now->time == 1 && equal(&whole, &expected[i]))
			return true;
	}
	return false;
}

static void connect_once(struct result *result)
{
	const struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct settings now;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		result->error = errno;
		if (fd >= 0)
			close(fd);
		return;
	}
	now = settled(fd, result);
	result->connections++;
	if (equal(&now, &expected[0])) {
		result->first++;
	} else if (equal(&now, &expected[1])) {
		result->second++;
	} else if (probed(&now)) {
		result->probed++;
	} else {
		if (now.on)
			result->mixed++;
		else
			result->none++;
		result->example = now;
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static void *storm(void *arg)
{
	struct result *result = arg;
	struct timespec now;

	do {
		connect_once(result);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!result->error && (now.tv_sec < end.tv_sec ||
				    (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec)));
	return NULL;
}

int main(int argc, char **argv)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct result results[N_CLIENTS] = {0}, sum = {0};
	pthread_t server, clients[N_CLIENTS];
	const int on = 1;
	int i;

	if (argc != 9) {
		fprintf(stderr, "storm: wrong number of arguments\n");
		return 2;
	}
	address.sin_family = AF_INET;
	address.sin_port = htons((in_port_t)atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (i = 0; i < 2; i++)
		expected[i] = (struct settings){1, atoi(argv[3 + 3 * i]), atoi(argv[4 + 3 * i]),
						atoi(argv[5 + 3 * i])};
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 4096) < 0) {
		perror("storm");
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atoi(argv[2]);
	pthread_create(&server, NULL, serve, &listener);
	for (i = 0; i < N_CLIENTS; i++)
		pthread_create(&clients[i], NULL, storm, &results[i]);
	for (i = 0; i < N_CLIENTS; i++) {
		pthread_join(clients[i], NULL);
		sum.connections += results[i].connections;
		sum.first += results[i].first;
		sum.second += results[i].second;
		sum.probed += results[i].probed;
		sum.mixed += results[i].mixed;
		sum.none += results[i].none;
		sum.changed += results[i].changed;
		if (results[i].example.time)
			sum.example = results[i].example;
		if (results[i].error)
			sum.error = results[i].error;
	}
	printf("{\"connections\": %lu, \"first\": %lu, \"second\": %lu, \"probed\": %lu, "
	       "\"mixed\": %lu, "
	       "\"none\": %lu, \"changed\": %lu, \"error\": %d, \"example\": [%d, %d, %d, %d]}\n",
	       sum.connections, sum.first, sum.second, sum.probed, sum.mixed, sum.none, sum.changed,
	       sum.error, sum.example.on, sum.example.time, sum.example.interval,
	       sum.example.probes);
	return 0;
}
