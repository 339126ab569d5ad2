// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/old/options.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int old_option_set(int socket, int level, int option, uint32_t value)
{
	const int v = (int)value;

	return setsockopt(socket, level, option, &v, sizeof(v)) < 0 ? -errno : 0;
}
