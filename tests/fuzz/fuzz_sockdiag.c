// SPDX-License-Identifier: GPL-2.0-or-later
/* Fuzzes datagrams of sock_diag. Each is preceded by its length in two bytes. */
#include "fuzz.h"

#include "host/sockdiag.h"

struct seen {
	size_t n;
};

static int look(const struct diag_socket *socket, void *arg)
{
	struct seen *seen = arg;

	check(socket->family == 4 || socket->family == 6);
	check(socket->timer == 2 || !socket->unanswered);
	return ++seen->n == 100 ? 77 : 0;
}

void fuzz_sockdiag(const uint8_t *data, size_t size)
{
	struct seen seen = {0};
	struct error e = {0};
	bool last = false;
	uint8_t *datagram;
	size_t length;
	int ret = 0;

	while (!ret && !last && size >= 2) {
		length = data[0] | (size_t)data[1] << 8;
		data += 2;
		size -= 2;
		length = length < size ? length : size;
		/* A buffer of exactly this length lets ASan see reads behind the datagram's end. */
		datagram = malloc(length ? length : 1);
		check(datagram);
		memcpy(datagram, data, length);
		ret = sockdiag_take(datagram, length, look, &seen, &last, &e);
		check(ret != 77 || seen.n == 100);
		check(ret >= 0 || e.text[0]);
		free(datagram);
		data += length;
		size -= length;
	}
}
