// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/preview_host.h"

#include "base/util.h"
#include "sockets/agers.h"
#include "sockets/windows.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

static int add(struct agers *agers, const struct snapshot_socket *socket, uint32_t rule)
{
	const struct diag_socket *diag = &socket->diag;
	struct hf_view view = {
		.cookie = diag->cookie,
		.netns = socket->netns,
		.rule = rule,
		.family = diag->family,
		.local_port = diag->local_port,
		.peer_port = diag->peer_port,
		.received_ms = diag->idle_ms,
	};

	memcpy(view.local, diag->local, sizeof(view.local));
	memcpy(view.peer, diag->peer, sizeof(view.peer));
	return agers_add(agers, &view, NULL);
}

/* Adds the connections that the daemon would hold, and so ask about. */
static int add_all(struct agers *agers, const struct snapshot *snapshot)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < snapshot->n; i++) {
		const struct snapshot_socket *socket = &snapshot->sockets[i];

		if (socket->rule->enforce && socket->diag.state == TCP_ESTABLISHED)
			err = add(agers, socket, (uint32_t)(socket->rule - snapshot->config.rules));
	}
	return err;
}

int preview_ask_host(struct snapshot *snapshot, const struct netns_list *namespaces,
		     struct error *e)
{
	_cleanup_free_ struct host_sight *sights =
		calloc(snapshot->config.n_rules + 1, sizeof(*sights));
	struct agers agers = {0};
	size_t i;
	int ret;

	if (!sights || add_all(&agers, snapshot)) {
		agers_free(&agers);
		return error_set(e, ENOMEM, "out of memory");
	}
	ret = agers.n ? agers_ask(&agers, namespaces, sights, e) : 0;
	agers_free(&agers);
	for (i = 0; i < snapshot->config.n_rules; i++) {
		host_window_take(&snapshot->hosts[i], &sights[i]);
		windows_bound(&snapshot->config.rules[i], &snapshot->hosts[i]);
	}
	return ret < 0 ? ret : 0;
}
