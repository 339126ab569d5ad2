// SPDX-License-Identifier: GPL-2.0-or-later
#include "bpf/match.h"

#include "sockets/route_changes.h"

#include "base/util.h"
#include "host/iterate.h"
#include "host/rtnl_ask.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

/* A held socket. Its addresses are unmapped: IPv4-mapped IPv6 is IPv4. */
struct end {
	uint64_t cookie;
	uint64_t netns;
	struct hf_flow flow;
	struct hf_flow local; /* its peer is the socket's local address */
	uint32_t links[2];    /* by which packets come, and by which they go */
	uint32_t rule;	      /* index in the configuration */
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
			    .rule = view->rule,
			    .netns = view->netns,
			    .links = {view->link_in, view->link_out}};
	end->flow.family = end->local.family = view->family;
	memcpy(end->flow.peer, view->peer, sizeof(view->peer));
	memcpy(end->local.peer, view->local, sizeof(view->local));
	hf_flow_unmap(&end->flow);
	hf_flow_unmap(&end->local);
	return 0;
}

/*
 * Sorts by namespace, then by both addresses, so that the kernel is asked only once for each pair
 * of them.
 */
static int by_addresses(const void *a, const void *b)
{
	const struct end *x = a, *y = b;

	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	if (x->flow.family != y->flow.family)
		return x->flow.family < y->flow.family ? -1 : 1;
	if (memcmp(x->flow.peer, y->flow.peer, sizeof(x->flow.peer)) != 0)
		return memcmp(x->flow.peer, y->flow.peer, sizeof(x->flow.peer));
	return memcmp(x->local.peer, y->local.peer, sizeof(x->local.peer));
}

/* Stands for a namespace from which no messages come. */
#define UNHEARD (RTNL_OWN_NAMESPACE - 1)

/* The changes of one namespace. */
struct changes {
	struct rtnl_change *list; /* copies, with room for all changes; owned */
	size_t n;
	bool links; /* one of them is RTNL_LINK */
	bool any;   /* one of them is RTNL_ANY, or events were lost */
};

/*
 * Chooses the changes of one namespace: a flood of changes in one must not have the sockets of all
 * others probed.
 */
static void choose(struct changes *chosen, const struct rtnl_changes *all, int nsid)
{
	size_t i;

	chosen->n = 0;
	chosen->links = false;
	chosen->any = all->lost;
	for (i = 0; i < all->n; i++) {
		if (all->list[i].nsid != nsid)
			continue;
		chosen->list[chosen->n++] = all->list[i];
		chosen->links = chosen->links || all->list[i].what == RTNL_LINK;
		chosen->any = chosen->any || all->list[i].what == RTNL_ANY;
	}
}

struct question {
	const struct end *end;
	struct rtnl_route route; /* the answer */
	uint64_t way;		 /* the answer */
};

static int ask_route(void *arg)
{
	struct question *question = arg;
	const struct hf_flow *flow = &question->end->flow;

	return rtnl_matched_route(flow->family, flow->peer, question->end->local.peer,
				  &question->route);
}

static int ask_way(void *arg)
{
	struct question *question = arg;
	const struct hf_flow *flow = &question->end->flow;

	question->way = rtnl_way(flow->family, flow->peer, question->end->local.peer);
	return 0;
}

/*
 * Returns whether a changed route, whose prefix contains the peer, may be the one by which the peer
 * was reached, or is now. `route` is the one that the kernel chooses now. If it is in another
 * table, then a route that came isn't chosen, and one that went may have been: the kernel doesn't
 * say in which order it looks at tables.
 */
static bool concerns(const struct rtnl_change *change, const struct rtnl_route *route)
{
	if (change->table != route->table)
		return change->what == RTNL_ROUTE_GONE;
	return route->length <= change->prefix.len;
}

/* Asks the kernel only if the prefix of some changed route contains the peer. */
static bool route_moved(const struct netns *ns, const struct end *end,
			const struct changes *changes)
{
	struct question question = {.end = end};
	bool asked = false, none = false;
	size_t i;

	for (i = 0; i < changes->n; i++) {
		const struct rtnl_change *change = &changes->list[i];

		if ((change->what != RTNL_ROUTE && change->what != RTNL_ROUTE_GONE) ||
		    !prefix_contains(&change->prefix, end->flow.family, end->flow.peer))
			continue;
		if (!asked)
			none = netns_call(ns, ask_route, &question, NULL) < 0;
		asked = true;
		if (none || concerns(change, &question.route))
			return true;
	}
	return false;
}

static bool address_gone(const struct changes *changes, const struct hf_flow *local)
{
	size_t i;

	for (i = 0; i < changes->n; i++) {
		if (changes->list[i].what == RTNL_ADDRESS &&
		    prefix_contains(&changes->list[i].prefix, local->family, local->peer))
			return true;
	}
	return false;
}

static bool link_gone(const struct changes *changes, const struct end *end)
{
	size_t i;

	if (!changes->links)
		return false;
	if (end->links[1] == HF_LINK_GONE)
		return true;
	for (i = 0; i < changes->n; i++) {
		if (changes->list[i].what == RTNL_LINK && (changes->list[i].link == end->links[0] ||
							   changes->list[i].link == end->links[1]))
			return true;
	}
	return false;
}

/*
 * Finds the nsid by which rtnetlink messages name the namespace. Negative errno: it has none, and
 * no messages come from it.
 */
static int nsid_of(const struct netns *ns, int *nsid)
{
	_cleanup_close_ int owned = -1;
	int fd = netns_open(ns, &owned, NULL);
	int err = fd < 0 ? fd : rtnl_nsid(fd, nsid);

	return !err && *nsid == RTNL_OWN_NAMESPACE ? -ENOENT : err;
}

void route_changes_hear(const struct netns *ns)
{
	_cleanup_close_ int owned = -1;
	int nsid, fd;

	if (nsid_of(ns, &nsid) != -ENOENT)
		return;
	fd = netns_open(ns, &owned, NULL);
	if (fd >= 0)
		rtnl_give_nsid(fd);
}

/* Returns the index at which the ends of a namespace begin in the sorted list. */
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

/* Returns whether the kernel sends packets another way than before, as far as that is known. */
static bool way_moved(const struct netns *ns, const struct end *end, struct known_ways *known,
		      bool *unknown, int *err)
{
	struct question question = {.end = end};
	enum way_seen seen;

	*err = netns_call(ns, ask_way, &question, NULL);
	if (*err)
		return false;
	seen = known_ways_see(known, ns->inode, &end->flow, &end->local, question.way, err);
	*unknown = seen == WAY_NEW;
	return seen != WAY_SAME;
}

/* Appends the namespace's sockets that moved. Its ends begin at index `at`. Returns 0 or -ENOMEM.
 */
static int find_moved(const struct netns *ns, const struct ends_list *ends, size_t at,
		      const struct changes *changes, struct known_ways *known,
		      struct moved_sockets *found)
{
	bool route = false, way = false, unknown = false;
	const struct end *last = NULL;
	int err = 0;

	for (; at < ends->n && ends->list[at].netns == ns->inode; at++) {
		const struct end *end = &ends->list[at];

		if (!last || by_addresses(last, end) != 0) {
			route = route_moved(ns, end, changes);
			way = changes->any && way_moved(ns, end, known, &unknown, &err);
			if (err == -ENOMEM)
				return err;
		}
		last = end;
		if (!route && !way && !link_gone(changes, end) &&
		    !address_gone(changes, &end->local))
			continue;
		found->guessed += !route && way && unknown;
		found->cookies[found->n++] = end->cookie;
		if (u64_set_add(&found->rules, end->rule))
			return -ENOMEM;
	}
	return 0;
}

static int find_all(const struct data_plane *plane, const struct netns_list *namespaces,
		    const struct ends_list *ends, const struct rtnl_changes *changes,
		    struct known_ways *known, struct moved_sockets *moved)
{
	_cleanup_free_ struct rtnl_change *list = calloc(changes->n + 1, sizeof(*list));
	struct changes chosen = {.list = list};
	size_t i, at, before;
	int nsid;

	if (!list)
		return -ENOMEM;
	for (i = 0; i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];

		at = first_of(ends, ns->inode);
		nsid = RTNL_OWN_NAMESPACE;
		if (at == ends->n || ends->list[at].netns != ns->inode)
			continue;
		if (i > 0 && nsid_of(ns, &nsid) < 0)
			nsid = UNHEARD;
		choose(&chosen, changes, nsid);
		if (!chosen.n && !chosen.any)
			continue;
		data_plane_tick(plane);
		before = moved->n;
		if (find_moved(ns, ends, at, &chosen, known, moved) ||
		    (moved->n > before && u64_set_add(&moved->namespaces, ns->inode)))
			return -ENOMEM;
	}
	u64_set_sort(&moved->namespaces);
	u64_set_sort(&moved->rules);
	return 0;
}

void moved_sockets_free(struct moved_sockets *moved)
{
	free(moved->cookies);
	u64_set_free(&moved->namespaces);
	u64_set_free(&moved->rules);
	*moved = (struct moved_sockets){0};
}

int moved_sockets_add(struct moved_sockets *to, const struct moved_sockets *moved)
{
	uint64_t *bigger = reallocarray(to->cookies, to->n + moved->n + 1, sizeof(*bigger));
	size_t i;

	if (!bigger)
		return -ENOMEM;
	to->cookies = bigger;
	for (i = 0; i < moved->namespaces.n; i++) {
		if (u64_set_add(&to->namespaces, moved->namespaces.list[i]))
			return -ENOMEM;
	}
	u64_set_sort(&to->namespaces);
	memcpy(to->cookies + to->n, moved->cookies, moved->n * sizeof(*moved->cookies));
	to->n += moved->n;
	return 0;
}

int route_changes_find(const struct data_plane *plane, const struct netns_list *namespaces,
		       const struct rtnl_changes *changes, struct known_ways *known,
		       struct moved_sockets *moved, struct error *e)
{
	struct ends_list ends = {0};
	int err;

	*moved = (struct moved_sockets){0};
	err = iterate_all(plane, PIN_HELD, PIN_HELD_HERE, namespaces, sizeof(struct hf_view),
			  add_end, &ends, e);
	if (!err && ends.n) {
		qsort(ends.list, ends.n, sizeof(*ends.list), by_addresses);
		moved->cookies = calloc(ends.n, sizeof(*moved->cookies));
		err = moved->cookies ? find_all(plane, namespaces, &ends, changes, known, moved)
				     : -ENOMEM;
		if (err)
			error_set(e, ENOMEM, "out of memory");
	}
	free(ends.list);
	if (err || !moved->n)
		moved_sockets_free(moved);
	return err;
}
