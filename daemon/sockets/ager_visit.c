// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/ager_visit.h"

#include "base/clock.h"
#include "base/u64_set.h"
#include "base/util.h"
#include "host/ipvs.h"
#include "host/sockdiag.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <string.h>

/* sock_diag's timers of a connection that waits for no answer. */
enum { TIMER_NONE = 0, TIMER_KEEPALIVE = 2 };

static bool takes_part(const struct ager_visit *visit, const struct ager_flow *flow)
{
	return flow->settled && flow->netns != visit->asked;
}

static void fail(struct ager_visit *visit, struct ager_flow *flow, int err, const struct error *e)
{
	flow->failed = true;
	if (!visit->err)
		visit->err = error_set(visit->e, -err, "network namespace %" PRIu64 ": %s",
				       visit->ns->inode, e->text);
}

static void show(const struct ager_visit *visit, struct ager_flow *flow, enum host_ager by,
		 uint64_t window_ms, bool harmful)
{
	const struct host_window one = {.window_ms = window_ms,
					.netns = visit->ns->inode,
					.cookie = flow->cookie,
					.by = (uint8_t)by,
					.harmful = harmful,
					.foreign = visit->foreign};

	host_window_see(&visit->sights[flow->rule], &one);
	if (!flow->window_ms || window_ms < flow->window_ms)
		flow->window_ms = window_ms;
}

static int on_socket(const struct diag_socket *socket, void *arg)
{
	struct ager_flow *flow = arg;

	flow->idle_ms = socket->idle_ms;
	flow->settled = socket->state == TCP_ESTABLISHED && !socket->unanswered &&
			(socket->timer == TIMER_NONE || socket->timer == TIMER_KEEPALIVE) &&
			socket->idle_ms >= AGER_IDLE_LEAST_MS;
	return 0;
}

/* Finds out how long the connections idle. One that can't be found takes no part. */
static int find_idle(const struct ager_visit *visit, struct error *e)
{
	_cleanup_close_ int fd = sockdiag_open_in(visit->ns, e);
	size_t i;

	for (i = 0; fd >= 0 && i < visit->n; i++) {
		struct ager_flow *flow = &visit->list[i];
		const struct diag_ends ends = {.cookie = flow->cookie,
					       .family = flow->family,
					       .local_port = flow->flow.local_port,
					       .peer_port = flow->flow.peer_port,
					       .local = flow->local,
					       .peer = flow->peer};

		flow->at_ms = monotonic_ms();
		if (sockdiag_find(fd, &ends, on_socket, flow, e))
			flow->settled = false;
	}
	return fd < 0 ? fd : 0;
}

/* Whether asking connection tracking here loads no module, and may find something. */
static bool tracks(int8_t *built_in)
{
	enum conntrack_netlink netlink = conntrack_netlink_find("");

	if (netlink == CONNTRACK_NETLINK_ABSENT || !conntrack_in_use())
		return false;
	if (netlink == CONNTRACK_NETLINK_UNCLEAR && !*built_in)
		*built_in = conntrack_netlink_built_in() ? 1 : -1;
	return netlink == CONNTRACK_NETLINK_THERE || *built_in > 0;
}

/*
 * Whether packets pass without the entry, by what the last look has seen of it. Notes what this one
 * sees.
 */
static bool is_stale(struct ager_visit *visit, const struct ager_flow *flow, uint64_t idle_ms,
		     uint32_t timeout_s)
{
	const int64_t now_ms = flow->at_ms + (int64_t)(idle_ms - flow->idle_ms);
	struct ager_entry seen = {.key = flow->cookie << 32 ^ visit->ns->inode,
				  .seen = {.packet_ms = now_ms - (int64_t)idle_ms,
					   .drops_ms = now_ms + timeout_s * INT64_C(1000)}};
	struct ager_entries *entries = visit->entries;
	const struct ager_entry *before =
		sorted_find(visit->before->list, visit->before->n, sizeof(*before), seen.key);

	seen.seen.stale = before && host_entry_is_stale(&before->seen, &seen.seen);
	if (array_grow(&entries->list, entries->n, &entries->room, sizeof(seen)))
		return seen.seen.stale;
	entries->list[entries->n++] = seen;
	return seen.seen.stale;
}

static void ask_entry(struct ager_visit *visit, int fd, bool strict, struct ager_flow *flow)
{
	uint64_t idle_ms = flow->idle_ms + (uint64_t)(monotonic_ms() - flow->at_ms);
	struct conntrack_entry entry;
	struct error e = {0};
	int err = conntrack_get(fd, &flow->flow, &entry, &e);

	if (err && err != -ENOENT)
		fail(visit, flow, err, &e);
	else if (!err && conntrack_is_settled(&entry) &&
		 !is_stale(visit, flow, idle_ms, entry.timeout_s))
		show(visit, flow, HOST_CONNTRACK, host_window_of(entry.timeout_s, idle_ms),
		     strict || conntrack_is_translated(&entry));
}

static void ask_conntrack(struct ager_visit *visit)
{
	_cleanup_close_ int fd = -1;
	struct error e = {0};
	bool strict;
	size_t i;

	if (!tracks(visit->built_in))
		return;
	strict = conntrack_sysctl("nf_conntrack_tcp_loose") == 0;
	fd = conntrack_open(&e);
	for (i = 0; i < visit->n; i++) {
		if (!takes_part(visit, &visit->list[i]))
			continue;
		if (fd >= 0)
			ask_entry(visit, fd, strict, &visit->list[i]);
		else
			fail(visit, &visit->list[i], fd, &e);
	}
}

/* Marks the connections that go to a virtual service. Returns whether there are any. */
static bool find_served(const struct ager_visit *visit, FILE *table)
{
	_cleanup_free_ char *line = NULL;
	struct ipvs_service service;
	size_t size = 0, i;
	bool any = false;

	for (i = 0; i < visit->n; i++)
		visit->list[i].served = false;
	while (getline(&line, &size, table) > 0) {
		if (!ipvs_service_parse(line, &service))
			continue;
		for (i = 0; i < visit->n; i++) {
			if (!takes_part(visit, &visit->list[i]) ||
			    !ipvs_serves(&service, &visit->list[i].flow))
				continue;
			visit->list[i].served = true;
			any = true;
		}
	}
	return any;
}

static void ask_ipvs(struct ager_visit *visit)
{
	_cleanup_fclose_ FILE *table = ipvs_table();
	struct error e = {0};
	int64_t timeout_s;
	size_t i;

	if (!table || !find_served(visit, table))
		return;
	timeout_s = ipvs_timeout(&e);
	for (i = 0; i < visit->n; i++) {
		if (!visit->list[i].served)
			continue;
		if (timeout_s < 0)
			fail(visit, &visit->list[i], (int)timeout_s, &e);
		else
			show(visit, &visit->list[i], HOST_IPVS, (uint64_t)timeout_s * 1000, true);
	}
}

int ager_visit(void *arg)
{
	struct ager_visit *visit = arg;
	int err = visit->own ? find_idle(visit, visit->e) : 0;

	if (err)
		return err;
	ask_conntrack(visit);
	ask_ipvs(visit);
	return visit->err;
}
