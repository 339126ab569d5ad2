// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/socket_options.h"

#include "base/util.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void socket_options_read(int socket, struct hf_keepalive *now)
{
	const struct {
		int level, option;
		uint32_t *value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, &now->on},
		{SOL_TCP, TCP_KEEPIDLE, &now->time_s},
		{SOL_TCP, TCP_KEEPINTVL, &now->interval_s},
		{SOL_TCP, TCP_KEEPCNT, &now->probes},
		{SOL_TCP, TCP_USER_TIMEOUT, &now->user_timeout_ms},
	};
	socklen_t size;
	size_t i;

	*now = (struct hf_keepalive){0};
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		size = sizeof(uint32_t);
		getsockopt(socket, options[i].level, options[i].option, options[i].value, &size);
	}
}

static int read_number(const char *path, uint32_t *number)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");

	if (!file)
		return -errno;
	return fscanf(file, "%u", number) == 1 ? 0 : -EPROTO;
}

/* /proc/sys/net shows the sysctls of the namespace that the reader is in. */
static int read_sysctls(void *arg)
{
	struct hf_keepalive *sysctls = arg;
	int err = read_number("/proc/sys/net/ipv4/tcp_keepalive_time", &sysctls->time_s);

	if (!err)
		err = read_number("/proc/sys/net/ipv4/tcp_keepalive_intvl", &sysctls->interval_s);
	if (!err)
		err = read_number("/proc/sys/net/ipv4/tcp_keepalive_probes", &sysctls->probes);
	return err;
}

int socket_options_sysctls(const struct netns *ns, struct hf_keepalive *sysctls, struct error *e)
{
	int err;

	*sysctls = (struct hf_keepalive){0};
	err = netns_call(ns, read_sysctls, sysctls, e);
	return err ? error_set(e, -err,
			       "reading the keepalive sysctls of network namespace %ju: %s",
			       (uintmax_t)ns->inode, strerror(-err))
		   : 0;
}
