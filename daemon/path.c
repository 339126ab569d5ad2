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

	if (view->state != TCP_ESTABLISHED || !view->now.on)
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

/* The length of the longest changed prefix of this namespace that holds the peer; -1: none does. */
static int longest_changed(const struct rtnl_change *changes, size_t n, int nsid,
			   const struct hf_flow *flow)
{
	int longest = -1;
	size_t i;

	for (i = 0; i < n; i++) {
		if (changes[i].nsid == nsid && !changes[i].local && !changes[i].link &&
		    changes[i].prefix.len > longest &&
		    prefix_contains(&changes[i].prefix, flow->family, flow->peer))
			longest = changes[i].prefix.len;
	}
	return longest;
}

static bool address_gone(const struct rtnl_change *changes, size_t n, int nsid,
			 const struct hf_flow *local)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (changes[i].nsid == nsid && changes[i].local &&
		    prefix_contains(&changes[i].prefix, local->family, local->peer))
			return true;
	}
	return false;
}

static bool link_gone(const struct rtnl_change *changes, size_t n, int nsid)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (changes[i].nsid == nsid && changes[i].link)
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

static bool peer_moved(const struct netns *ns, int nsid, const struct hf_flow *flow,
		       const struct rtnl_change *changes, size_t n)
{
	int changed = longest_changed(changes, n, nsid, flow);
	struct question question = {flow};

	return changed >= 0 && netns_call(ns, ask_length, &question, NULL) <= changed;
}

int path_moved(const struct plane *plane, const struct netns_list *namespaces,
	       const struct rtnl_change *changes, size_t n_changes, uint64_t **cookies, size_t *n,
	       struct error *e)
{
	_cleanup_free_ uint64_t *found = NULL;
	struct ends_list ends = {0};
	const struct end *end, *last = NULL;
	bool moved = false, all;
	size_t i, at = 0;
	int err, nsid;

	*n = 0;
	*cookies = NULL;
	err = iter_run(&plane->pins, PIN_HELD, sizeof(struct hf_view), add_end, &ends, e);
	if (!err) {
		found = calloc(ends.n + 1, sizeof(*found));
		err = found ? 0 : error_set(e, ENOMEM, "out of memory");
	}
	if (err || !ends.n) {
		free(ends.list);
		return err;
	}
	qsort(ends.list, ends.n, sizeof(*ends.list), by_peer);
	for (i = 0; i < namespaces->n; i++) {
		const struct netns *ns = &namespaces->list[i];

		at = first_of(&ends, ns->inode);
		nsid = RTNL_OWN_NAMESPACE;
		if (at == ends.n || ends.list[at].netns != ns->inode ||
		    (i > 0 && nsid_of(ns, &nsid) < 0))
			continue;
		all = link_gone(changes, n_changes, nsid);
		for (; at < ends.n && ends.list[at].netns == ns->inode; at++) {
			end = &ends.list[at];
			if (!all && (!last || by_peer(last, end) != 0))
				moved = peer_moved(ns, nsid, &end->flow, changes, n_changes);
			last = end;
			if (all || moved || address_gone(changes, n_changes, nsid, &end->local))
				found[(*n)++] = end->cookie;
		}
	}
	free(ends.list);
	*cookies = take_ptr(found);
	return 0;
}
