// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Asks this host's connection tracking about AGERS_EACH idle connections of one rule in one network
 * namespace, as a pass does. For each line on standard input it asks once, and prints the
 * nanoseconds that it took; "none" where nothing is known of the connections.
 */
#include "base/clock.h"
#include "sockets/agers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORT 3306

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

static void need(bool holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

/* Opens a connection over loopback. Fills in what a look would see of it. */
static void open_one(int listener, const struct sockaddr_in *to, struct hf_view *view)
{
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in local;
	socklen_t length = sizeof(local);
	uint64_t cookie = 0;

	need(sock >= 0 && connect(sock, (const struct sockaddr *)to, sizeof(*to)) == 0, "connect");
	need(accept(listener, NULL, NULL) >= 0, "accept");
	need(getsockname(sock, (struct sockaddr *)&local, &length) == 0, "getsockname");
	length = sizeof(cookie);
	need(getsockopt(sock, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0, "SO_COOKIE");
	view->cookie = cookie;
	view->family = 4;
	view->local_port = ntohs(local.sin_port);
	view->peer_port = PORT;
	memcpy(view->local, &local.sin_addr, 4);
	memcpy(view->peer, &to->sin_addr, 4);
	view->received_ms = AGER_IDLE_LEAST_MS + 200;
}

static void ask(struct hf_view *views, const struct netns_list *namespaces)
{
	static struct agers agers;
	struct host_sight sight = {0};
	uint64_t begin = clock_ns(CLOCK_MONOTONIC);
	struct error e = {0};
	size_t i;

	for (i = 0; i < AGERS_EACH; i++)
		need(agers_add(&agers, &views[i], NULL) == 0, "agers_add");
	need(agers_ask(&agers, namespaces, &sight, &e) >= 0, e.text);
	agers_clear(&agers);
	if (sight.shortest.window_ms)
		printf("%llu\n", (unsigned long long)(clock_ns(CLOCK_MONOTONIC) - begin));
	else
		puts("none");
	fflush(stdout);
}

int main(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct netns own = {.fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)};
	struct netns_list namespaces = {.list = &own, .n = 1};
	struct hf_view views[AGERS_EACH] = {0};
	struct stat st;
	char line[64];
	size_t i;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(own.fd >= 0 && fstat(own.fd, &st) == 0, "/proc/self/ns/net");
	own.inode = st.st_ino;
	need(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
		     bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
		     listen(listener, AGERS_EACH) == 0,
	     "listen");
	for (i = 0; i < AGERS_EACH; i++) {
		views[i].netns = own.inode;
		open_one(listener, &at, &views[i]);
	}
	usleep((AGER_IDLE_LEAST_MS + 200) * 1000);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		ask(views, &namespaces);
	return 0;
}
