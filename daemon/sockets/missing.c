// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/missing.h"

#include "base/util.h"
#include "host/iterate.h"
#include "host/listeners.h"
#include "rules/lpm.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

int wanted_set(struct wanted *wanted, const struct config *config, struct error *e)
{
	_cleanup_free_ struct rule_entry *entries = NULL;
	struct port_filter filter;
	struct lpm *lpm;
	size_t n;
	int err;

	err = rules_compile(config, 0, &entries, &n, e);
	if (err)
		return err;
	lpm = lpm_new(entries, n);
	if (!lpm || port_filter_init(&filter, config) < 0) {
		lpm_free(lpm);
		return error_set(e, ENOMEM, "out of memory");
	}
	wanted_free(wanted);
	wanted->lpm = lpm;
	wanted->filter = filter;
	return 0;
}

void wanted_free(struct wanted *wanted)
{
	lpm_free(wanted->lpm);
	port_filter_free(&wanted->filter);
	wanted->lpm = NULL;
}

static void held_forget(struct held *held)
{
	cookie_set_free(&held->settled);
	u64_set_free(&held->dirty);
}

void held_free(struct held *held)
{
	held_forget(held);
	cookie_set_free(&held->others);
}

static int add_held(const void *record, void *arg)
{
	uint64_t word = *(const uint64_t *)record, netns = word & ~HF_UNSETTLED;
	struct held *held = arg;

	if (!(word & HF_UNSETTLED))
		return cookie_set_add(&held->settled, word);
	return u64_set_add(&held->dirty, netns);
}

int held_read(const struct data_plane *plane, const struct netns_list *namespaces,
	      struct held *held, struct error *e)
{
	int err;

	held_forget(held);
	err = iterate_all(plane, PIN_SETTLED, PIN_SETTLED_HERE, namespaces, sizeof(uint64_t),
			  add_held, held, e);
	if (err) {
		held_free(held);
		return err;
	}
	u64_set_sort(&held->dirty);
	return 0;
}

struct missing {
	const struct wanted *wanted;
	const struct held *held;
	const struct netns *ns;
	bool knows_listeners;
	struct listeners listeners;
	size_t n;
};

/*
 * Infers who opened a connection: the peer, if somebody listens who may have accepted it. The sweep
 * also recognizes one whose listener has gone, and reports it as HF_SWEPT_OTHER_SIDE where that
 * matters.
 */
static enum hf_opener who_opened(struct missing *missing, const struct diag_socket *socket)
{
	struct error ignored;

	if (!missing->knows_listeners)
		listeners_read(missing->ns, &missing->listeners, &ignored);
	missing->knows_listeners = true;
	return listeners_have(&missing->listeners, socket->family, socket->local,
			      socket->local_port)
		       ? HF_OPENER_PEER
		       : HF_OPENER_US;
}

static int count_missing(const struct diag_socket *socket, void *arg)
{
	struct missing *missing = arg;
	struct hf_flow flow = {0};
	const struct hf_rule *rule;
	enum hf_side side;

	if (cookie_set_have(&missing->held->settled, socket->cookie) ||
	    cookie_set_have(&missing->held->others, socket->cookie))
		return 0;
	flow.family = socket->family;
	flow.peer_port = socket->peer_port;
	flow.local_port = socket->local_port;
	memcpy(flow.peer, socket->peer, sizeof(flow.peer));
	hf_flow_unmap(&flow);
	rule = lpm_match(missing->wanted->lpm, &flow, &side);
	if (rule) {
		flow.opener = (__u8)who_opened(missing, socket);
		rule = lpm_match(missing->wanted->lpm, &flow, &side);
	}
	if (rule && rule->flags & HF_RULE_ENFORCE &&
	    scope_has(&missing->wanted->scope, socket->cgroup_id))
		missing->n++;
	return 0;
}

static void none_missing(void *arg)
{
	struct missing *missing = arg;

	missing->n = 0;
}

int missing_count(const struct wanted *wanted, const struct held *held, const struct netns *ns,
		  size_t *n, struct error *e)
{
	struct missing missing = {.wanted = wanted, .held = held, .ns = ns};
	const struct diag_dump established = {.states = 1u << TCP_ESTABLISHED,
					      .filter = &wanted->filter,
					      .fn = count_missing,
					      .restart = none_missing,
					      .arg = &missing};
	int err = sockdiag_read(ns, &established, e);

	listeners_free(&missing.listeners);
	*n = missing.n;
	return err;
}
