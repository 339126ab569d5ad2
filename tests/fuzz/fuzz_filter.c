// SPDX-License-Identifier: GPL-2.0-or-later
/* Fuzzes FILTER arguments, one a line, against a few sockets. */
#include "rules.h"

#include "sockets/filter.h"

#define ARGUMENTS_MAX 16

static void check_filter(const struct filter *filter)
{
	static const uint8_t peers[][16] = {
		{10, 1, 2, 3},
		{0x20, 0x01, 0x0d, 0xb8, [15] = 9},
		{[10] = 0xff, 0xff, 10, 1, 2, 3},
	};
	static const uint8_t families[] = {4, 6, 6};
	struct snapshot_socket socket = {0};
	bool takes[3];
	size_t i;

	for (i = 0; i < 3; i++) {
		socket.rule = &some_rules()->rules[0];
		socket.diag.family = families[i];
		memcpy(socket.diag.peer, peers[i], sizeof(peers[i]));
		takes[i] = filter_takes(filter, &socket);
	}
	check(takes[0] == takes[2]); /* an IPv4 peer, of an AF_INET and of an AF_INET6 socket */
	if (!filter->n_rules && !filter->n_peers && !filter->verdicts)
		check(takes[0] && takes[1]);
}

void fuzz_filter(const uint8_t *data, size_t size)
{
	char *text = to_string(data, size), *rest = text, *argv[ARGUMENTS_MAX];
	struct error e = {0};
	struct filter filter;
	int argc = 0;

	while (rest && argc < ARGUMENTS_MAX)
		argv[argc++] = strsep(&rest, "\n");
	if (filter_init(&filter, some_rules(), argc, argv, &e) == 0) {
		check_filter(&filter);
		filter_free(&filter);
	} else {
		check(e.text[0]);
		check_printable(e.text, strlen(e.text));
	}
	free(text);
}
