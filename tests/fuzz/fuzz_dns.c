// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the answers of name servers over UDP and TCP: what c-ares makes of them, and what the
 * resolver takes from that. Each answer in the input is its length in two bytes, then its bytes.
 * The query's id replaces the first two bytes, so that c-ares takes the message for an answer. With
 * the highest bit of the length set, the query's question is inserted, too. The functions below
 * replace the sockets of c-ares.
 */
#include "fuzz.h"

#include "names/dns.c"
#include "names/known.h"

#include <sys/uio.h>

#define ROUNDS	    3
#define SOCKETS	    1000000 /* the first of our numbers, above any descriptor */
#define MESSAGE_MAX 4096

struct server {
	const uint8_t *data; /* the answers that are left */
	size_t size;
	uint8_t question[MESSAGE_MAX];
	size_t question_size;
	ares_socket_t opened; /* so many sockets; c-ares from 1.33 on wants each to differ */
	bool asked;
};

static ares_socket_t open_socket(int family, int type, int protocol, void *arg)
{
	struct server *server = arg;

	(void)family, (void)type, (void)protocol;
	return SOCKETS + server->opened++;
}

static int close_socket(ares_socket_t fd, void *arg)
{
	(void)fd, (void)arg;
	return 0;
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t size,
			  void *arg)
{
	(void)fd, (void)to, (void)size, (void)arg;
	return 0;
}

static ares_ssize_t send_question(ares_socket_t fd, const struct iovec *parts, int n, void *arg)
{
	struct server *server = arg;
	size_t sent = 0, room;
	int i;

	(void)fd;
	server->question_size = 0;
	for (i = 0; i < n; i++) {
		room = sizeof(server->question) - server->question_size;
		room = parts[i].iov_len < room ? parts[i].iov_len : room;
		memcpy(server->question + server->question_size, parts[i].iov_base, room);
		server->question_size += room;
		sent += parts[i].iov_len;
	}
	server->asked = true;
	return (ares_ssize_t)sent;
}

static ares_ssize_t receive(ares_socket_t fd, void *buffer, size_t room, int flags,
			    struct sockaddr *from, ares_socklen_t *from_size, void *arg)
{
	struct server *server = arg;
	uint8_t answer[MESSAGE_MAX];
	size_t length, at = 0;
	bool with_question;

	(void)fd, (void)flags;
	if (!server->asked || server->size < 2) {
		errno = EAGAIN;
		return -1;
	}
	server->asked = false;
	length = server->data[0] | (size_t)(server->data[1] & 0x0f) << 8;
	with_question = server->data[1] & 0x80;
	server->data += 2;
	server->size -= 2;
	length = length < server->size ? length : server->size;
	if (with_question && length >= 12) {
		memcpy(answer, server->data, 12);
		at = 12;
		if (server->question_size > 12) {
			size_t rest = server->question_size - 12;

			rest = rest < 512 ? rest : 512;
			memcpy(answer + 12, server->question + 12, rest);
			at += rest;
		}
		if (length - 12 > sizeof(answer) - at)
			length = sizeof(answer) - at + 12;
		memcpy(answer + at, server->data + 12, length - 12);
		at += length - 12;
	} else {
		memcpy(answer, server->data, length);
		at = length;
	}
	if (at >= 2)
		memcpy(answer, server->question, 2);
	server->data += length;
	server->size -= length;
	at = at < room ? at : room;
	memcpy(buffer, answer, at);
	if (from && from_size && *from_size >= sizeof(struct sockaddr_in)) {
		struct sockaddr_in in = {
			.sin_family = AF_INET,
			.sin_port = htons(53),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		};

		memcpy(from, &in, sizeof(in));
		*from_size = sizeof(in);
	}
	return (ares_ssize_t)at;
}

static const struct ares_socket_functions functions = {
	open_socket, close_socket, connect_socket, receive, send_question,
};

static void no_interest(void *arg, ares_socket_t fd, int readable, int writable)
{
	(void)arg, (void)fd, (void)readable, (void)writable;
}

/* Sets up c-ares like open_channels(), but with the functions above and one server on loopback. */
static void make_channels(struct dns *dns, struct server *server)
{
	struct ares_addr_node address = {.family = AF_INET};
	char lookups[] = "b";
	struct ares_options options = {
		.timeout = 1,
		.tries = 1,
		.lookups = lookups,
		.sock_state_cb = no_interest,
	};

	check(ares_init_options(&dns->servers, &options,
				ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
					ARES_OPT_SOCK_STATE_CB) == ARES_SUCCESS);
	address.addr.addr4.s_addr = htonl(INADDR_LOOPBACK);
	check(ares_set_servers(dns->servers, &address) == ARES_SUCCESS);
	ares_set_socket_functions(dns->servers, &functions, server);
}

/* Reports every socket as ready; c-ares knows which of them are open. */
static void process(struct dns *dns, const struct server *server)
{
	ares_socket_t fd;

	for (fd = SOCKETS; fd < SOCKETS + server->opened; fd++)
		ares_process_fd(dns->servers, fd, fd);
}

static void check_known(const struct known *known, unsigned news, const char *why, uint32_t again_s)
{
	size_t i;

	check(again_s >= 1 && again_s <= RESOLVER_TTL_MAX_S);
	check(!(news & KNOWN_FAILS) || (why && why[0]));
	for (i = 0; i < known->n; i++) {
		check(known->list[i].address.family == 4 || known->list[i].address.family == 6);
		check(!i || memcmp(&known->list[i - 1].address, &known->list[i].address,
				   sizeof(struct prefix)) < 0);
	}
}

void fuzz_dns(const uint8_t *data, size_t size)
{
	struct server server = {.data = data, .size = size};
	struct known known = {0};
	int round, step;

	for (round = 0; round < ROUNDS && server.size; round++) {
		struct dns dns = {.epoll_fd = -1};
		struct dns_lookup lookup;
		const char *why = NULL;
		uint32_t again_s;
		unsigned news;

		make_channels(&dns, &server);
		dns_start(&dns, "db.example", &lookup);
		for (step = 0; lookup.pending && server.size && step < 16; step++)
			process(&dns, &server);
		close_channels(&dns); /* ends a lookup that is still pending */
		check(!lookup.pending);
		news = known_update(&known, &lookup.answers, 1, &again_s, &why);
		check_known(&known, news, why, again_s);
	}
	known_free(&known);
}
