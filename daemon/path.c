// SPDX-License-Identifier: GPL-2.0-or-later
#include "../bpf/match.h"

#include "path.h"

#include "util.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

/* What is needed of a held socket; its peer unmapped. */
struct end {
	uint64_t cookie;
	uint64_t netns;
	struct hf_flow flow;
	struct hf_flow local; /* the local address, as a peer */
	uint32_t links[2];    /* by which packets come and go */
};

struct ends_list {
	struct end *list;
	size_t n, room;
};

static int add_end(const void *record, void *arg)
{
	const struct hf_view *view = record;
	struct ends_list *ends = arg;
	struct end *end;

	if (view->state != TCP_ESTABLISHED || !view->now.on || !(view->flags & HF_VIEW_MATCH))
		return 0;
	if (array_grow(&ends->list, ends->n, &ends->room, sizeof(*end)))
		return -ENOMEM;
	end = &ends->list[ends->n++];
	*end = (struct end){.cookie = view->cookie,
			    .netns = view->netns,
			    .links = {view->link_in, view->link_out}};
	end->flow.family = end->local.family = view->family;
	memcpy(end->flow.peer, view->peer, sizeof(view->peer));
	memcpy(end->local.peer, view->local, sizeof(view->local));
	hf_flow_unmap(&end->flow);
	hf_flow_unmap(&end->local);
	return 0;
}

/* By namespace, then peer: the kernel is asked once for each peer. */
static int by_peer(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	if (x->flow.family != y->flow.family)
		return x->flow.family < y->flow.family ? -1 : 1;
	return memcmp(x->flow.peer, y->flow.peer, sizeof(x->flow.peer));
}

struct question {
	const struct hf_flow *flow;
};

static int ask_length(void *arg)
{
	const struct question *question = arg;

	return rtnl_matched_length(question->flow->family, question->flow->peer);
}

/* The changes of one namespace. */
struct changes {
	struct prefix *routes, *addresses;
	size_t n_routes, n_addresses;
	uint32_t *links; /* that went down: what went over them, went without a word */
	size_t n_links;
};

/* Of a flood in one namespace the sockets of all others must know nothing. */
static void choose(struct changes *chosen, const struct rtnl_change *changes, size_t n, int nsid)
{
	size_t i;

	chosen->n_routes = chosen->n_addresses = chosen->n_links = 0;
	for (i = 0; i < n; i++) {
		if (changes[i].nsid != nsid)
			continue;
		if (changes[i].link)
			chosen->links[chosen->n_links++] = changes[i].link;
		else if (changes[i].local)
			chosen->addresses[chosen->n_addresses++] = changes[i].prefix;
		else
			chosen->routes[chosen->n_routes++] = changes[i].prefix;
	}
}

/* The length of the longest changed prefix that holds the peer; -1: none does. */
static int longest_changed(const struct changes *changes, const struct hf_flow *flow)
{
	int longest = -1;
	size_t i;

	for (i = 0; i < changes->n_routes; i++) {
		const struct prefix *route = &changes->routes[i];

		if (route->len > longest && prefix_contains(route, flow->family, flow->peer))
			longest = route->len;
	}
	return longest;
}

static bool address_gone(const struct changes *changes, const struct hf_flow *local)
{
	size_t i;

	for (i = 0; i < changes->n_addresses; i++) {
		if (prefix_contains(&changes->addresses[i], local->family, local->peer))
			return true;
	}
	return false;
}

static bool link_gone(const struct changes *changes, const struct end *end)
{
	size_t i;

	if (changes->n_links && end->links[1] == HF_LINK_GONE)
		return true;
	for (i = 0; i < changes->n_links; i++) {
		if (changes->links[i] == end->links[0] || changes->links[i] == end->links[1])
			return true;
	}
	return false;
}

/* What the namespace is called in the messages that we get. Negative errno: nobody tells us of it.
 */
static int nsid_of(const struct netns *ns, int *nsid)
{
	_cleanup_close_ int owned = -1;
	int fd = netns_open(ns, &owned, NULL);
	int err = fd < 0 ? fd : rtnl_nsid(fd, nsid);

	return !err && *nsid == RTNL_OWN_NAMESPACE ? -ENOENT : err;
}

/* Where the ends of a namespace begin, in a sorted list. */
static size_t first_of(const struct ends_list *ends, uint64_t netns)
{
	size_t low = 0, high = ends->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (ends->list[middle].netns < netns)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool peer_moved(const struct netns *ns, const struct hf_flow *flow,
		       const struct changes *changes)
{
	int changed = longest_changed(changes, flow);
	struct question question = {flow};

	return changed >= 0 && netns_call(ns, ask_length, &question, NULL) <= changed;
}

/* The ends from `at` on that are in this namespace. Appends the cookies of those concerned. */
static void find_moved(const struct netns *ns, const struct ends_list *ends, size_t at,
		       const struct changes *changes, uint64_t *cookies, size_t *n)
{
	const struct end *last = NULL;
	bool moved = false;

	for (; at < ends->n && ends->list[at].netns == ns->inode; at++) {
		const struct end *end = &ends->list[at];

		if (!last || by_peer(last, end) != 0)
			moved = peer_moved(ns, &end->flow, changes);
		last = end;
		if (moved || link_gone(changes, end) || address_gone(changes, &end->local))
			cookies[(*n)++] = end->cookie;
	}
}

static int find_all(const struct netns_list *namespaces, const struct ends_list *ends,
		    const struct rtnl_change *changes, size_t n_changes, struct moved *moved)
{
	_cleanup_free_ struct prefix *routes = calloc(n_changes + 1, sizeof(*routes));
	_cleanup_free_ struct prefix *addresses = calloc(n_changes + 1, sizeof(*addresses));
	_cleanup_free_ uint32_t *links = calloc(n_changes + 1, sizeof(*links));
	struct changes chosen = {.routes = routes, .addresses = addresses, .links = links};
	size_t i, at, before;
	int nsid;

	if (!routes || !addresses || !links)
		return -ENOMEM;
	for (i = 0; i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];

		at = first_of(ends, ns->inode);
		nsid = RTNL_OWN_NAMESPACE;
		if (at == ends->n || ends->list[at].netns != ns->inode ||
		    (i > 0 && nsid_of(ns, &nsid) < 0))
			continue;
		choose(&chosen, changes, n_changes, nsid);
		if (!chosen.n_routes && !chosen.n_addresses && !chosen.n_links)
			continue;
		before = moved->n;
		find_moved(ns, ends, at, &chosen, moved->cookies, &moved->n);
		if (moved->n > before && numbers_add(&moved->namespaces, ns->inode))
			return -ENOMEM;
	}
	numbers_sort(&moved->namespaces);
	return 0;
}

void moved_free(struct moved *moved)
{
	free(moved->cookies);
	numbers_free(&moved->namespaces);
	*moved = (struct moved){0};
}

int path_moved(const struct plane *plane, const struct netns_list *namespaces,
	       const struct rtnl_change *changes, size_t n_changes, struct moved *moved,
	       struct error *e)
{
	struct ends_list ends = {0};
	int err;

	*moved = (struct moved){0};
	err = plane_iterate_all(plane, PIN_HELD, PIN_HELD_HERE, namespaces, sizeof(struct hf_view),
				add_end, &ends, e);
	if (!err && ends.n) {
		qsort(ends.list, ends.n, sizeof(*ends.list), by_peer);
		moved->cookies = calloc(ends.n, sizeof(*moved->cookies));
		err = moved->cookies ? find_all(namespaces, &ends, changes, n_changes, moved)
				     : -ENOMEM;
		if (err)
			error_set(e, ENOMEM, "out of memory");
	}
	free(ends.list);
	if (err || !moved->n)
		moved_free(moved);
	return err;
}
