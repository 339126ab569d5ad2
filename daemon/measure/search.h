/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the connection that a command has opened, in whatever network namespace. */
#ifndef HOLDFAST_MEASURE_SEARCH_H
#define HOLDFAST_MEASURE_SEARCH_H

#include "host/pidfd_socket.h"
#include "measure/client.h"

/* The end that it is to have gone to. */
struct search_peer {
	uint8_t family; /* 4, 6 */
	uint8_t address[16];
	uint16_t port; /* host byte order */
};

/*
 * A descriptor of it, the caller's, and its cookie. It is looked for among what the command's
 * processes have open: its descendants, those of its session, and who has its CLIENT_VARIABLE.
 * -ENOENT: there is none yet. All else is as of pidfd_socket_get(), and told in e.
 */
int search_connection(struct pidfd_helper *helper, const struct client *client,
		      const struct search_peer *peer, uint64_t *cookie, struct error *e);

#endif
