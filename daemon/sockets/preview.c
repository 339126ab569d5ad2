// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/preview.h"

#include "base/util.h"
#include "bpf/decide.h"
#include "host/iterate.h"
#include "host/listeners.h"
#include "host/netns_in_proc.h"
#include "host/owners.h"
#include "host/pidfd_socket.h"
#include "host/socket_options.h"
#include "kernel/scope.h"
#include "rules/lpm.h"
#include "sockets/preview_host.h"
#include "sockets/preview_plan.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

/* The TCP states that are shown: those in which the application hasn't closed the connection. */
#define STATES (1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT)

struct diags {
	struct diag_socket *list; /* owned */
	size_t n, room;
};

/* What the namespaces of a preview share. */
struct look {
	struct preview *preview;
	struct lpm *lpm; /* the rules; owned */
	struct port_filter filter;
	struct pidfd_helper helper;
	struct scope scope; /* of the daemon that runs */
	int records;	    /* hf_sockets of the holdfast that is attached; owned; -1: none is */
};

/* One network namespace. */
struct place {
	const struct netns *ns;
	struct diags diags;
	bool known; /* the members below are filled in */
	struct listeners listeners;
	struct hf_keepalive sysctls;
};

static int add_diag(const struct diag_socket *socket, void *arg)
{
	struct diags *diags = arg;

	if (array_grow(&diags->list, diags->n, &diags->room, sizeof(*diags->list)))
		return -ENOMEM;
	diags->list[diags->n++] = *socket;
	return 0;
}

static void no_diags(void *arg)
{
	struct diags *diags = arg;

	diags->n = 0;
}

static int add_inode(const struct diag_socket *socket, void *arg)
{
	return u64_set_add(arg, socket->inode);
}

/* Duplicates do no harm to a set, so a dump that begins again needs nothing taken back. */
static void keep_inodes(void *arg)
{
	(void)arg;
}

/* Adds the inodes of all TCP sockets of the namespace. */
static int see(const struct netns *ns, struct u64_set *seen, struct error *e)
{
	struct port_range every = {1, 65535};
	const struct port_filter any = {.ranges = {[HF_SIDE_SERVER] = &every},
					.n = {[HF_SIDE_SERVER] = 1}};
	const struct diag_dump all = {.states = ~0u,
				      .filter = &any,
				      .fn = add_inode,
				      .restart = keep_inodes,
				      .arg = seen};

	return sockdiag_read(ns, &all, e);
}

/* Finds the namespaces, also those that only sockets keep alive. */
static int find_namespaces(const struct owners *owners, struct netns_list *namespaces,
			   struct error *e)
{
	struct u64_set seen = {0};
	struct error ignored;
	int err = netns_find_in_proc(namespaces, e);
	size_t i;

	for (i = 0; !err && i < namespaces->n; i++) {
		err = see(&namespaces->list[i], &seen, &ignored);
		if (err != -ENOMEM)
			err = 0; /* it is gone; or read_place() says what is wrong */
	}
	if (err == -ENOMEM)
		error_set(e, ENOMEM, "out of memory");
	u64_set_sort(&seen);
	if (!err)
		err = netns_add_strays(namespaces, owners, &seen, e);
	u64_set_free(&seen);
	return err;
}

static const struct hf_rule *match_flow(const struct look *look, struct hf_flow flow,
					const uint8_t peer[16], enum hf_side *side)
{
	memcpy(flow.peer, peer, sizeof(flow.peer));
	hf_flow_unmap(&flow);
	return lpm_match(look->lpm, &flow, side);
}

static const struct hf_rule *match(const struct look *look, const struct diag_socket *diag,
				   enum hf_opener opener, enum hf_side *side)
{
	const struct hf_flow flow = {.family = diag->family,
				     .opener = (__u8)opener,
				     .local_port = diag->local_port,
				     .peer_port = diag->peer_port};

	return match_flow(look, flow, diag->peer, side);
}

static int know(struct place *place, struct error *e)
{
	int err;

	if (place->known)
		return 0;
	err = listeners_read(place->ns, &place->listeners, e);
	if (!err)
		err = socket_options_sysctls(place->ns, &place->sysctls, e);
	place->known = !err;
	return err;
}

static int add_socket(struct look *look, const struct place *place, const struct diag_socket *diag,
		      const struct hf_rule *rule, enum hf_side side, const struct hf_keepalive *now,
		      const struct hf_record *record)
{
	struct preview *preview = look->preview;
	struct snapshot *snapshot = &preview->snapshot;
	struct snapshot_socket *socket;

	if (array_grow(&snapshot->sockets, snapshot->n, &snapshot->room, sizeof(*socket)) ||
	    array_grow(&preview->plans, preview->n_plans, &preview->room, sizeof(*preview->plans)))
		return -ENOMEM;
	socket = &snapshot->sockets[snapshot->n++];
	*socket = (struct snapshot_socket){.diag = *diag,
					   .netns = place->ns->inode,
					   .now = *now,
					   .rule = &snapshot->config.rules[rule->index],
					   .side = side};
	preview->plans[preview->n_plans++] = (struct preview_plan){.cookie = diag->cookie,
								   .rule = *rule,
								   .sysctls = place->sysctls,
								   .record = *record};
	return 0;
}

static void skip(struct preview *preview, int err)
{
	preview->unread++;
	if (err != -ENOENT && !preview->unread_errno)
		preview->unread_errno = -err;
}

/*
 * Looks at one socket. A record that says who opened the connection knows better than the
 * listeners, so where there are records the socket is read before it is clear which rule it gets.
 */
static int look_at(struct look *look, struct place *place, const struct diag_socket *diag,
		   struct error *e)
{
	const struct owners *owners = &look->preview->snapshot.owners;
	enum hf_opener opener = HF_OPENER_US;
	struct hf_record record = {0};
	_cleanup_close_ int fd = -1;
	const struct hf_rule *rule;
	const struct owner *owner;
	struct hf_keepalive now;
	enum hf_side side;
	size_t n = 0;
	int err;

	if (!match(look, diag, HF_OPENER_UNKNOWN, &side) ||
	    !scope_has(&look->scope, diag->cgroup_id))
		return 0;
	err = know(place, e);
	if (err)
		return err;
	if (listeners_have(&place->listeners, diag->family, diag->local, diag->local_port))
		opener = HF_OPENER_PEER;
	rule = match(look, diag, opener, &side);
	if (!rule && look->records < 0)
		return 0;
	owner = diag->inode ? owners_of(owners, diag->cookie, diag->inode, &n) : NULL;
	fd = pidfd_socket_get(&look->helper, owner, n, diag->cookie);
	if (fd < 0) {
		if (rule)
			skip(look->preview, fd);
		return 0;
	}
	if (look->records >= 0 && bpf_map_lookup_elem(look->records, &fd, &record) == 0 &&
	    record.opener)
		rule = match(look, diag, (enum hf_opener)record.opener, &side);
	if (!rule)
		return 0;
	socket_options_read(fd, &now);
	return add_socket(look, place, diag, rule, side, &now, &record);
}

static int read_place(struct look *look, struct place *place, struct error *e)
{
	const struct diag_dump matched = {.states = STATES,
					  .filter = &look->filter,
					  .info = true,
					  .fn = add_diag,
					  .restart = no_diags,
					  .arg = &place->diags};
	int err = sockdiag_read(place->ns, &matched, e);
	size_t i;

	for (i = 0; !err && i < place->diags.n; i++) {
		err = look_at(look, place, &place->diags.list[i], e);
		if (err == -ENOMEM)
			error_set(e, ENOMEM, "out of memory");
	}
	return err == -ENOENT ? 0 : err; /* the namespace has gone meanwhile */
}

static int read_places(struct look *look, const struct netns_list *namespaces, struct error *e)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < namespaces->n; i++) {
		struct place place = {.ns = &namespaces->list[i]};

		err = read_place(look, &place, e);
		listeners_free(&place.listeners);
		free(place.diags.list);
	}
	return err;
}

/* Decides for all sockets, once it is known what this host itself forgets. */
static void make_plans(struct preview *preview, const struct netns_list *namespaces)
{
	struct snapshot *snapshot = &preview->snapshot;
	size_t i;

	preview_ask_host(snapshot, namespaces, &preview->host);
	for (i = 0; i < snapshot->n; i++)
		preview_plan_make(&preview->plans[i], &snapshot->sockets[i]);
}

/* Counts a held socket if no rule matches it any more. */
static int count_released(const void *record, void *arg)
{
	const struct hf_view *view = record;
	struct look *look = arg;
	const struct hf_flow flow = {.family = view->family,
				     .opener = view->opener,
				     .local_port = view->local_port,
				     .peer_port = view->peer_port};
	enum hf_side side;

	if (view->held_ns && !(view->flags & HF_VIEW_LEFT_ALONE) && 1u << view->state & STATES &&
	    !match_flow(look, flow, view->peer, &side))
		look->preview->released++;
	return 0;
}

static int begin(struct look *look, const struct data_plane *plane, struct error *e)
{
	const struct config *config = &look->preview->snapshot.config;
	_cleanup_free_ struct rule_entry *entries = NULL;
	size_t n;
	int err = rules_compile(config, 1, &entries, &n, e);

	if (err)
		return err;
	look->lpm = lpm_new(entries, n);
	if (!look->lpm || port_filter_init(&look->filter, config))
		return error_set(e, ENOMEM, "out of memory");
	if (!plane)
		return 0;
	scope_open(&look->scope, plane);
	look->records = pins_get(&plane->pins, PIN_SOCKETS, e);
	return look->records < 0 ? look->records : 0;
}

static void end(struct look *look)
{
	pidfd_helper_close(&look->helper);
	scope_close(&look->scope);
	port_filter_free(&look->filter);
	lpm_free(look->lpm);
	if (look->records >= 0)
		close(look->records);
}

static void link_plans(struct preview *preview)
{
	struct snapshot *snapshot = &preview->snapshot;
	const struct preview_plan *plan;
	size_t i;

	sort_by_u64(preview->plans, preview->n_plans, sizeof(*preview->plans));
	for (i = 0; i < snapshot->n; i++) {
		plan = sorted_find(preview->plans, preview->n_plans, sizeof(*plan),
				   snapshot->sockets[i].diag.cookie);
		snapshot->sockets[i].would = plan && !plan->alone ? &plan->would : NULL;
	}
}

static int take(const struct data_plane *plane, struct preview *preview, struct error *e)
{
	struct snapshot *snapshot = &preview->snapshot;
	struct look look = {.preview = preview,
			    .helper = PIDFD_HELPER_INIT,
			    .scope = {.fd = -1},
			    .records = -1};
	struct netns_list namespaces = {0};
	int err = begin(&look, plane, e);

	if (!err)
		err = snapshot_read_windows(plane, snapshot, e);
	if (!err)
		err = owners_find_by_inode(&snapshot->owners, e);
	if (!err)
		err = find_namespaces(&snapshot->owners, &namespaces, e);
	if (!err)
		err = read_places(&look, &namespaces, e);
	if (!err && plane)
		err = iterate_all(plane, PIN_HELD, PIN_HELD_HERE, &namespaces,
				  sizeof(struct hf_view), count_released, &look, e);
	if (!err)
		make_plans(preview, &namespaces);
	netns_list_free(&namespaces);
	end(&look);
	if (err)
		return err;
	snapshot_sort(snapshot);
	link_plans(preview);
	snapshot_add_cgroups(snapshot);
	snapshot_link_owners(snapshot);
	return 0;
}

int preview_take(const struct data_plane *plane, struct config *config, struct preview *preview,
		 struct error *e)
{
	int err;

	*preview = (struct preview){.snapshot.config = *config};
	*config = (struct config){0};
	err = take(plane, preview, e);
	if (err)
		preview_free(preview);
	return err;
}

void preview_free(struct preview *preview)
{
	snapshot_free(&preview->snapshot);
	free(preview->plans);
	*preview = (struct preview){0};
}

bool preview_changes(const struct snapshot_socket *socket)
{
	return socket->would && !hf_keepalive_equal(socket->would, &socket->now);
}
