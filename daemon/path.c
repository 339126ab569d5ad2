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
	*end = (struct end){.cookie = view->cookie, .netns = view->netns};
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
	bool link; /* one went down: whatever went over it, went without a word */
};

/* Of a flood in one namespace the sockets of all others must know nothing. */
static void choose(struct changes *chosen, const struct rtnl_change *changes, size_t n, int nsid)
{
	size_t i;

	chosen->n_routes = chosen->n_addresses = 0;
	chosen->link = false;
	for (i = 0; i < n; i++) {
		if (changes[i].nsid != nsid)
			continue;
		if (changes[i].link)
			chosen->link = true;
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

		if (!changes->link && (!last || by_peer(last, end) != 0))
			moved = peer_moved(ns, &end->flow, changes);
		last = end;
		if (changes->link || moved || address_gone(changes, &end->local))
			cookies[(*n)++] = end->cookie;
	}
}

static int find_all(const struct netns_list *namespaces, const struct ends_list *ends,
		    const struct rtnl_change *changes, size_t n_changes, uint64_t *cookies,
		    size_t *n)
{
	_cleanup_free_ struct prefix *routes = calloc(n_changes + 1, sizeof(*routes));
	_cleanup_free_ struct prefix *addresses = calloc(n_changes + 1, sizeof(*addresses));
	struct changes chosen = {.routes = routes, .addresses = addresses};
	size_t i, at;
	int nsid;

	if (!routes || !addresses)
		return -ENOMEM;
	for (i = 0; i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];

		at = first_of(ends, ns->inode);
		nsid = RTNL_OWN_NAMESPACE;
		if (at == ends->n || ends->list[at].netns != ns->inode ||
		    (i > 0 && nsid_of(ns, &nsid) < 0))
			continue;
		choose(&chosen, changes, n_changes, nsid);
		if (chosen.n_routes || chosen.n_addresses || chosen.link)
			find_moved(ns, ends, at, &chosen, cookies, n);
	}
	return 0;
}

int path_moved(const struct plane *plane, const struct netns_list *namespaces,
	       const struct rtnl_change *changes, size_t n_changes, uint64_t **cookies, size_t *n,
	       struct error *e)
{
	_cleanup_free_ uint64_t *found = NULL;
	struct ends_list ends = {0};
	int err;

	*n = 0;
	*cookies = NULL;
	err = plane_iterate_all(plane, PIN_HELD, PIN_HELD_HERE, namespaces, sizeof(struct hf_view),
				add_end, &ends, e);
	if (!err && ends.n) {
		qsort(ends.list, ends.n, sizeof(*ends.list), by_peer);
		found = calloc(ends.n, sizeof(*found));
		err = found ? find_all(namespaces, &ends, changes, n_changes, found, n) : -ENOMEM;
		if (err)
			error_set(e, ENOMEM, "out of memory");
	}
	free(ends.list);
	if (!err && *n)
		*cookies = take_ptr(found);
	return err;
}
