// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/listeners.h"

#include "base/util.h"
#include "host/sockdiag.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

/* The prefix of IPv4-mapped IPv6 addresses, ::ffff:0:0/96. */
static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static struct listener make(uint8_t family, const uint8_t local[16], uint16_t port)
{
	struct listener listener;

	memset(&listener, 0, sizeof(listener));
	listener.port = port;
	if (family == 4) {
		memcpy(listener.local, mapped, sizeof(mapped));
		memcpy(listener.local + sizeof(mapped), local, 4);
	} else {
		memcpy(listener.local, local, sizeof(listener.local));
	}
	return listener;
}

static int add(struct listeners *listeners, const struct listener *listener)
{
	if (array_grow(&listeners->list, listeners->n, &listeners->room, sizeof(*listener)))
		return -ENOMEM;
	listeners->list[listeners->n++] = *listener;
	return 0;
}

int listeners_add(struct listeners *listeners, const struct diag_socket *socket)
{
	static const uint8_t any[16];
	struct listener listener = make(socket->family, socket->local, socket->local_port);
	int err = add(listeners, &listener);

	if (err || socket->v6only || memcmp(listener.local, any, sizeof(any)) != 0)
		return err;
	listener = make(4, any, socket->local_port); /* it listens at :: for IPv4, too */
	return add(listeners, &listener);
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct listener));
}

void listeners_sort(struct listeners *listeners)
{
	if (listeners->n)
		qsort(listeners->list, listeners->n, sizeof(*listeners->list), compare);
}

static int on_socket(const struct diag_socket *socket, void *arg)
{
	return listeners_add(arg, socket);
}

static void forget(void *arg)
{
	listeners_free(arg);
}

int listeners_read(const struct netns *ns, struct listeners *listeners, struct error *e)
{
	struct port_range every = {1, 65535};
	const struct port_filter filter = {.ranges = {[HF_SIDE_SERVER] = &every},
					   .n = {[HF_SIDE_SERVER] = 1}};
	const struct diag_dump dump = {.states = 1u << TCP_LISTEN,
				       .filter = &filter,
				       .fn = on_socket,
				       .restart = forget,
				       .arg = listeners};
	int err = sockdiag_read(ns, &dump, e);

	if (err)
		listeners_free(listeners);
	listeners_sort(listeners);
	return err;
}

void listeners_free(struct listeners *listeners)
{
	free(listeners->list);
	*listeners = (struct listeners){0};
}

static bool have(const struct listeners *listeners, const struct listener *listener)
{
	return listeners->n &&
	       bsearch(listener, listeners->list, listeners->n, sizeof(*listeners->list), compare);
}

bool listeners_have(const struct listeners *listeners, uint8_t family, const uint8_t local[16],
		    uint16_t port)
{
	static const uint8_t any[16];
	struct listener listener = make(family, local, port);
	bool is_mapped = memcmp(listener.local, mapped, sizeof(mapped)) == 0;

	if (have(listeners, &listener))
		return true;
	listener = make(is_mapped ? 4 : 6, any, port);
	return have(listeners, &listener);
}
