// SPDX-License-Identifier: GPL-2.0-or-later
#include "names/dns.h"

#include "base/util.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

/* A short timeout and few tries, because nobody waits for the answer, and the resolver looks the
 * name up again after a failure. */
#define TIMEOUT_MS 2000
#define TRIES	   3

static const char *const watched[] = {"/etc/hosts", "/etc/resolv.conf"};

/* The version of a file: differs when its content has changed. */
struct version {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec changed; /* ctime: unlike mtime, it isn't set back, as by cp -p */
};

struct dns {
	int epoll_fd;	      /* has the sockets of c-ares */
	ares_channel hosts;   /* looks names up only in /etc/hosts, without sockets */
	ares_channel servers; /* looks names up only with the name servers */
	int fault;	      /* ARES_*: why a channel is missing; 0: none is */
	struct version versions[ARRAY_SIZE(watched)];
	bool refreshed; /* dns_refresh() was called before */
};

/* Watches a socket of c-ares, which calls this with what it waits for: with neither before it
 * closes the socket. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = arg;
	struct epoll_event event = {
		.events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u),
		.data.fd = fd,
	};

	if (!event.events)
		epoll_ctl(dns->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(dns->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0 && errno == ENOENT)
		/* If this fails, the question times out, and is asked again. */
		epoll_ctl(dns->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int open_channel(struct dns *dns, char *lookups, ares_channel *channel)
{
	struct ares_options options = {
		.timeout = TIMEOUT_MS,
		.tries = TRIES,
		.lookups = lookups,
		.sock_state_cb = on_socket,
		.sock_state_cb_data = dns,
	};

	return ares_init_options(channel, &options,
				 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
					 ARES_OPT_SOCK_STATE_CB);
}

static void close_channels(struct dns *dns)
{
	if (dns->hosts)
		ares_destroy(dns->hosts);
	if (dns->servers)
		ares_destroy(dns->servers);
	dns->hosts = NULL;
	dns->servers = NULL;
}

static void open_channels(struct dns *dns)
{
	char hosts[] = "f", servers[] = "b";

	dns->fault = open_channel(dns, hosts, &dns->hosts);
	if (dns->fault)
		dns->hosts = NULL;
	else
		dns->fault = open_channel(dns, servers, &dns->servers);
	if (dns->fault)
		dns->servers = NULL;
}

int dns_new(struct dns **dns, struct error *e)
{
	struct dns *new;
	int err;

	err = ares_library_init(ARES_LIB_INIT_ALL);
	if (err)
		return error_set(e, ENOMEM, "can't set up c-ares: %s", ares_strerror(err));
	new = calloc(1, sizeof(*new));
	if (!new) {
		ares_library_cleanup();
		return error_set(e, ENOMEM, "out of memory");
	}
	new->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (new->epoll_fd < 0) {
		err = errno;
		free(new);
		ares_library_cleanup();
		return error_set(e, err, "epoll_create: %s", strerror(err));
	}
	*dns = new;
	return 0;
}

void dns_free(struct dns *dns)
{
	if (!dns)
		return;
	close_channels(dns);
	close(dns->epoll_fd);
	free(dns);
	ares_library_cleanup();
}

int dns_fd(const struct dns *dns)
{
	return dns->epoll_fd;
}

static struct version read_version(const char *path)
{
	struct version version;
	struct stat st;

	/* Clear the padding, too: versions are compared as bytes. */
	memset(&version, 0, sizeof(version));
	if (stat(path, &st) == 0) {
		version.dev = st.st_dev;
		version.ino = st.st_ino;
		version.size = st.st_size;
		version.changed = st.st_ctim;
	}
	return version;
}

bool dns_refresh(struct dns *dns)
{
	bool changed = !dns->refreshed || dns->fault;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(watched); i++) {
		struct version now = read_version(watched[i]);

		if (memcmp(&now, &dns->versions[i], sizeof(now)) != 0)
			changed = true;
		dns->versions[i] = now;
	}
	if (!changed)
		return false;
	close_channels(dns);
	open_channels(dns);
	dns->refreshed = true;
	return true;
}

/*
 * Adds the addresses that c-ares has found: IPv4 to v4, IPv6 to v6. The TTL is the smallest one of
 * the addresses and of the aliases that lead to them. Returns 0 or -ENOMEM.
 */
static int take_addresses(const struct ares_addrinfo *info, struct answer *v4, struct answer *v6)
{
	const struct ares_addrinfo_cname *cname;
	const struct ares_addrinfo_node *node;
	uint32_t alias_ttl_s = UINT32_MAX;
	int err;

	for (cname = info->cnames; cname; cname = cname->next) {
		if (cname->ttl >= 0 && (uint32_t)cname->ttl < alias_ttl_s)
			alias_ttl_s = (uint32_t)cname->ttl;
	}
	for (node = info->nodes; node; node = node->ai_next) {
		bool four = node->ai_family == AF_INET;
		struct answer *answer = four ? v4 : v6;
		/* A TTL with the highest bit set counts as 0: RFC 2181, section 8. */
		uint32_t ttl_s = node->ai_ttl > 0 ? (uint32_t)node->ai_ttl : 0;

		if (four) {
			const struct sockaddr_in *in = (const void *)node->ai_addr;

			err = address_set_add(&answer->set, 4, &in->sin_addr);
		} else {
			const struct sockaddr_in6 *in6 = (const void *)node->ai_addr;

			err = address_set_add(&answer->set, 6, &in6->sin6_addr);
		}
		if (err)
			return err;
		if (answer->kind != ANSWER_ADDRESSES || ttl_s < answer->ttl_s)
			answer->ttl_s = ttl_s;
		if (alias_ttl_s < answer->ttl_s)
			answer->ttl_s = alias_ttl_s;
		answer->kind = ANSWER_ADDRESSES;
	}
	return 0;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct dns_question *question = arg;
	struct answer *answer = question->answer;

	(void)timeouts;
	question->lookup->pending--;
	switch (status) {
	case ARES_SUCCESS:
		/* This stays if there are no addresses, which c-ares should report as ENODATA. */
		answer->kind = ANSWER_NONE;
		answer->why = ares_strerror(ARES_ENODATA);
		if (info && take_addresses(info, answer, answer)) {
			answer->kind = ANSWER_FAILED;
			answer->why = ares_strerror(ARES_ENOMEM);
		}
		break;
	case ARES_ENODATA:
	case ARES_ENOTFOUND:
		answer->kind = ANSWER_NONE;
		answer->why = ares_strerror(status);
		break;
	case ARES_ECANCELLED:
	case ARES_EDESTRUCTION:
		break;
	default:
		answer->kind = ANSWER_FAILED;
		answer->why = ares_strerror(status);
	}
	if (info)
		ares_freeaddrinfo(info);
}

/* Takes the answer of /etc/hosts. c-ares calls this before ares_getaddrinfo() returns. */
static void on_hosts(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct answers *answers = arg;
	struct answer *v4 = &answers->of[RESOLVER_A], *v6 = &answers->of[RESOLVER_AAAA];

	(void)timeouts;
	if (status == ARES_SUCCESS && info && !take_addresses(info, v4, v6) &&
	    v4->set.n + v6->set.n) {
		answers->local = true;
		if (v4->kind != ANSWER_ADDRESSES)
			v4->kind = ANSWER_NONE;
		if (v6->kind != ANSWER_ADDRESSES)
			v6->kind = ANSWER_NONE;
	} else {
		answers_free(answers);
	}
	if (info)
		ares_freeaddrinfo(info);
}

void dns_start(struct dns *dns, const char *name, struct dns_lookup *lookup)
{
	static const int families[] = {[RESOLVER_A] = AF_INET, [RESOLVER_AAAA] = AF_INET6};
	/* To sort addresses, c-ares would open a socket for each one, to find its route. */
	struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC};
	size_t i;

	*lookup = (struct dns_lookup){0};
	if (dns->hosts)
		ares_getaddrinfo(dns->hosts, name, NULL, &hints, on_hosts, &lookup->answers);
	if (lookup->answers.local)
		return;
	if (!dns->servers) {
		for (i = 0; i < RESOLVER_QUESTIONS; i++) {
			lookup->answers.of[i].kind = ANSWER_FAILED;
			lookup->answers.of[i].why = ares_strerror(dns->fault);
		}
		return;
	}
	lookup->pending = RESOLVER_QUESTIONS;
	for (i = 0; i < RESOLVER_QUESTIONS; i++) {
		lookup->questions[i].lookup = lookup;
		lookup->questions[i].answer = &lookup->answers.of[i];
		hints.ai_family = families[i];
		ares_getaddrinfo(dns->servers, name, NULL, &hints, on_answer,
				 &lookup->questions[i]);
	}
}

void dns_process(struct dns *dns)
{
	struct epoll_event events[16];
	int n, i;

	if (!dns->servers)
		return;
	n = epoll_wait(dns->epoll_fd, events, (int)ARRAY_SIZE(events), 0);
	for (i = 0; i < n; i++) {
		/* c-ares notices an error by reading, or by writing if it waits only for that. */
		bool in = events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP);
		bool out = events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP);

		ares_process_fd(dns->servers, in ? events[i].data.fd : ARES_SOCKET_BAD,
				out ? events[i].data.fd : ARES_SOCKET_BAD);
	}
	ares_process_fd(dns->servers, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

uint64_t dns_timeout_ms(const struct dns *dns)
{
	struct timeval left;

	if (!dns->servers || !ares_timeout(dns->servers, NULL, &left))
		return UINT64_MAX;
	/* Round up: a moment too early c-ares does nothing, and has to be called again. */
	return (uint64_t)left.tv_sec * 1000u + (uint64_t)left.tv_usec / 1000u + 1;
}
