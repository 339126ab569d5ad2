// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/agers.h"

#include "base/u64_set.h"
#include "base/util.h"
#include "sockets/ager_visit.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* So many connections are kept to choose from. */
#define FLOWS_MOST 4096u

static void unmap(uint8_t address[16])
{
	memmove(address, address + 12, 4);
	memset(address + 4, 0, 12);
}

int agers_add(struct agers *agers, const struct hf_view *view, const struct host_window *now)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct ager_flow *flow;

	if (view->received_ms < AGER_IDLE_LEAST_MS || agers->n == FLOWS_MOST)
		return 0;
	if (array_grow(&agers->list, agers->n, &agers->room, sizeof(*flow)))
		return -ENOMEM;
	flow = &agers->list[agers->n++];
	*flow = (struct ager_flow){.netns = view->netns,
				   .cookie = view->cookie,
				   .rule = view->rule,
				   .family = view->family,
				   .flow = {.family = view->family,
					    .local_port = view->local_port,
					    .peer_port = view->peer_port}};
	if (now && now->cookie == view->cookie)
		flow->shown = *now;
	memcpy(flow->local, view->local, sizeof(flow->local));
	memcpy(flow->peer, view->peer, sizeof(flow->peer));
	memcpy(flow->flow.local, view->local, sizeof(flow->local));
	memcpy(flow->flow.peer, view->peer, sizeof(flow->peer));
	if (view->family == 6 && !memcmp(view->peer, mapped, sizeof(mapped))) {
		flow->flow.family = 4;
		unmap(flow->flow.local);
		unmap(flow->flow.peer);
	}
	return 0;
}

void agers_clear(struct agers *agers)
{
	free(agers->list);
	agers->list = NULL;
	agers->n = agers->room = 0;
}

void agers_free(struct agers *agers)
{
	agers_clear(agers);
	free(agers->before.list);
	*agers = (struct agers){0};
}

/* Orders by namespace and rule. The connection that has shown what counts comes first. */
static int compare(const void *a, const void *b)
{
	const struct ager_flow *x = a, *y = b;

	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	if (!x->shown.window_ms != !y->shown.window_ms)
		return x->shown.window_ms ? -1 : 1;
	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

/* Keeps the first few of each rule and namespace. */
static void choose(struct agers *agers)
{
	struct ager_flow *list = agers->list;
	size_t i, n = 0, same = 0;

	if (agers->n)
		qsort(list, agers->n, sizeof(*list), compare);
	for (i = 0; i < agers->n; i++) {
		if (n && list[i].netns == list[n - 1].netns && list[i].rule == list[n - 1].rule)
			same++;
		else
			same = 0;
		if (same < AGERS_EACH)
			list[n++] = list[i];
	}
	agers->n = n;
}

/* Asks in one namespace. That it has gone meanwhile is no failure. */
static int go(struct ager_visit *visit)
{
	int err = netns_call(visit->ns, ager_visit, visit, visit->e);

	return err == -ENOENT ? 0 : err;
}

static const struct netns *find_namespace(const struct netns_list *namespaces, uint64_t inode)
{
	size_t i;

	for (i = 0; i < namespaces->n; i++) {
		if (namespaces->list[i].inode == inode)
			return &namespaces->list[i];
	}
	return NULL;
}

/* Asks about the connections of each namespace in it. */
static int ask_in_theirs(const struct agers *agers, struct ager_visit visit,
			 const struct netns_list *namespaces)
{
	size_t i, n;
	int ret = 0, err;

	for (i = 0; i < agers->n; i += n) {
		for (n = 1; i + n < agers->n; n++) {
			if (agers->list[i + n].netns != agers->list[i].netns)
				break;
		}
		visit.ns = find_namespace(namespaces, agers->list[i].netns);
		if (!visit.ns)
			continue;
		visit.list = &agers->list[i];
		visit.n = n;
		visit.own = true;
		visit.foreign = visit.ns != &namespaces->list[0];
		visit.err = 0;
		err = go(&visit);
		ret = ret ? ret : err;
	}
	return ret;
}

/* Keeps what entries showed for the next look. */
static void remember(struct agers *agers, const struct ager_entries *entries)
{
	free(agers->before.list);
	agers->before = *entries;
	sort_by_u64(agers->before.list, agers->before.n, sizeof(*agers->before.list));
}

int agers_ask(struct agers *agers, const struct netns_list *namespaces, struct host_sight *sights,
	      struct error *e)
{
	struct ager_entries entries = {0};
	struct ager_visit visit = {.built_in = &agers->built_in,
				   .before = &agers->before,
				   .entries = &entries,
				   .sights = sights,
				   .e = e};
	int asked = 0, ret, err;
	size_t i;

	choose(agers);
	if (!agers->n || !namespaces->n)
		return 0;
	ret = ask_in_theirs(agers, visit, namespaces);
	visit.ns = &namespaces->list[0];
	visit.list = agers->list;
	visit.n = agers->n;
	visit.asked = visit.ns->inode;
	err = go(&visit);
	ret = ret ? ret : err;
	remember(agers, &entries);
	for (i = 0; i < agers->n; i++) {
		const struct ager_flow *flow = &agers->list[i];
		struct host_sight *sight = &sights[flow->rule];

		if (!flow->settled || flow->failed)
			continue;
		asked++;
		sight->asked = true;
		if (flow->shown.window_ms &&
		    host_window_denies(&flow->shown, flow->window_ms, flow->idle_ms))
			sight->denied = true;
	}
	return ret ? ret : asked;
}
