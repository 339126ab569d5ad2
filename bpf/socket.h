/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a TCP socket: where it goes, which keepalive settings it has, which
 * cgroup and network namespace it belongs to. Typed loads only: bpf_getsockopt
 * knows these options since 6.1 and no sooner, and probe reads are what
 * lockdown=confidentiality takes away.
 */
#ifndef HOLDFAST_SOCKET_H
#define HOLDFAST_SOCKET_H

#include "decide.h"
#include "maps.h"

/* Whether some rule may have the port. The kernel compiles the look-up into two instructions. */
HF_INLINE bool hf_gate_open(enum hf_side side, __u16 port)
{
	struct hf_gate *gate;
	__u32 zero = 0;

	gate = bpf_map_lookup_elem(&hf_gate, &zero);
	return gate && gate->ports[side][port / 64] >> port % 64 & 1;
}

#define HF_LOOKUP(trie, key)	 ((const union hf_value *)bpf_map_lookup_elem((trie), (key)))
#define HF_MAY_MATCH(side, port) hf_gate_open((side), (port))
#include "match.h"

#define HF_CGROUP_DEPTH_MAX 64

HF_INLINE __u32 hf_seconds(__u32 jiffies)
{
	__u32 hz = hf_hz;

	return hz ? jiffies / hz : 0;
}

/*
 * Where the socket goes. False: neither IPv4 nor IPv6. Who opened it, as far as the socket
 * itself tells: what a listener accepts is a copy of it, its backlog included
 * (sk_clone_lock()), and who never listened has none. Where the backlog is 0 (`listen(fd,
 * 0)`), or the connection was restored, a listener tells: hf_flow_ask_listeners().
 */
HF_INLINE bool hf_socket_flow(struct tcp_sock *tp, struct hf_flow *flow)
{
	struct sock_common *skc = (struct sock_common *)tp;
	__u16 family = skc->skc_family;

	__builtin_memset(flow, 0, sizeof(*flow));
	flow->peer_port = bpf_ntohs(skc->skc_dport);
	flow->local_port = skc->skc_num;
	flow->opener = ((struct sock *)tp)->sk_max_ack_backlog ? HF_OPENER_PEER : HF_OPENER_US;
	if (family == AF_INET) {
		*(__be32 *)flow->peer = skc->skc_daddr;
		flow->family = 4;
		return true;
	}
	if (family != AF_INET6)
		return false;
	((__be32 *)flow->peer)[0] = skc->skc_v6_daddr.in6_u.u6_addr32[0];
	((__be32 *)flow->peer)[1] = skc->skc_v6_daddr.in6_u.u6_addr32[1];
	((__be32 *)flow->peer)[2] = skc->skc_v6_daddr.in6_u.u6_addr32[2];
	((__be32 *)flow->peer)[3] = skc->skc_v6_daddr.in6_u.u6_addr32[3];
	flow->family = 6;
	hf_flow_unmap(flow);
	return true;
}

/* The inode of its file in sockfs; 0: it has none (any more). */
HF_INLINE __u32 hf_socket_inode(struct tcp_sock *tp)
{
	return (__u32)((struct sock *)tp)->sk_socket->file->f_inode->i_ino;
}

/* The socket's own settings; 0 where it has none. */
HF_INLINE void hf_socket_keepalive(struct tcp_sock *tp, struct hf_keepalive *own)
{
	struct sock_common *skc = (struct sock_common *)tp;

	own->on = (skc->skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_KEEPOPEN)) & 1;
	own->time_s = hf_seconds(tp->keepalive_time);
	own->interval_s = hf_seconds(tp->keepalive_intvl);
	own->probes = tp->keepalive_probes;
	own->user_timeout_ms = tp->inet_conn.icsk_user_timeout;
}

/* A byte since 5.14, an int before: address and width are found out apart. */
HF_INLINE __u32 hf_sysctl_probes(struct net *net)
{
	void *probes = __builtin_preserve_access_index(&net->ipv4.sysctl_tcp_keepalive_probes);

	asm volatile("" : "+r"(probes));
	if (bpf_core_field_size(net->ipv4.sysctl_tcp_keepalive_probes) == 1)
		return *(__u8 *)probes;
	return *(__u32 *)probes;
}

/* What the socket's namespace says where a socket has nothing set. */
HF_INLINE void hf_socket_sysctls(struct tcp_sock *tp, struct hf_keepalive *sysctls)
{
	struct net *net = ((struct sock_common *)tp)->skc_net.net;

	sysctls->on = 0;
	sysctls->time_s = hf_seconds((__u32)net->ipv4.sysctl_tcp_keepalive_time);
	sysctls->interval_s = hf_seconds((__u32)net->ipv4.sysctl_tcp_keepalive_intvl);
	sysctls->probes = hf_sysctl_probes(net);
	sysctls->user_timeout_ms = 0;
}

/* Whether the socket belongs to the cgroup that we are limited to. */
HF_INLINE bool hf_socket_in_scope(struct tcp_sock *tp)
{
	__u64 wanted = hf_cgroup_id;
	struct cgroup_subsys_state *parent;
	struct cgroup *cgroup;
	int i;

	if (!wanted)
		return true;
	cgroup = ((struct sock *)tp)->sk_cgrp_data.cgroup;
	for (i = 0; i < HF_CGROUP_DEPTH_MAX; i++) {
		if (cgroup->kn->id == wanted)
			return true;
		parent = cgroup->self.parent;
		if (!parent)
			return false;
		cgroup = parent->cgroup;
	}
	return false;
}

/* Whether some rule may have one of its ports, whoever opened it. */
HF_INLINE bool hf_may_match(const struct hf_flow *flow)
{
	return hf_gate_open(HF_SIDE_CLIENT, flow->peer_port) ||
	       hf_gate_open(HF_SIDE_SERVER, flow->local_port);
}

/* What was known of the opener when the record was made counts. */
HF_INLINE void hf_flow_recall(struct hf_flow *flow, const struct hf_record *record)
{
	__u8 opener = record->opener;

	if (opener)
		flow->opener = opener;
}

/* A listener of the namespace that the iterator is in: it meets them all before connections. */
HF_INLINE void hf_note_listener(struct bpf_iter_meta *meta, struct tcp_sock *tp)
{
	struct sock_common *skc = (struct sock_common *)tp;
	struct hf_listener key = {.netns = skc->skc_net.net->ns.inum, .port = skc->skc_num};
	__u64 session = meta->session_id;

	bpf_map_update_elem(&hf_listeners, &key, &session, BPF_ANY);
}

/* A connection to a port that is listened on was opened by the peer. */
HF_INLINE void hf_flow_ask_listeners(struct hf_flow *flow, struct bpf_iter_meta *meta,
				     struct tcp_sock *tp)
{
	struct sock_common *skc = (struct sock_common *)tp;
	struct hf_listener key = {.netns = skc->skc_net.net->ns.inum, .port = flow->local_port};
	__u64 *session;

	if (flow->opener != HF_OPENER_US || !hf_may_match(flow))
		return;
	session = bpf_map_lookup_elem(&hf_listeners, &key);
	if (session && *session == meta->session_id)
		flow->opener = HF_OPENER_PEER;
}

/* The rule in force for a flow, or NULL. */
HF_INLINE const struct hf_rule *hf_rule_for(const struct hf_flow *flow, enum hf_side *side)
{
	__u32 zero = 0;
	void *trie;

	*side = HF_SIDE_CLIENT;
	/* The gate first: see gate.h for the order in which they change. */
	if (!hf_may_match(flow))
		return 0;
	trie = bpf_map_lookup_elem(&hf_rules, &zero);
	return trie ? hf_match(trie, flow, side) : 0;
}

/* Both ends, as sock_diag would show them: family 6 also where IPv4 is mapped. */
HF_INLINE void hf_socket_addresses(struct tcp_sock *tp, __u8 *family, __u8 local[16], __u8 peer[16])
{
	struct sock_common *skc = (struct sock_common *)tp;

	if (skc->skc_family == AF_INET) {
		*family = 4;
		*(__be32 *)local = skc->skc_rcv_saddr;
		*(__be32 *)peer = skc->skc_daddr;
		return;
	}
	*family = 6;
	((__be32 *)local)[0] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
	((__be32 *)local)[1] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
	((__be32 *)local)[2] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
	((__be32 *)local)[3] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
	((__be32 *)peer)[0] = skc->skc_v6_daddr.in6_u.u6_addr32[0];
	((__be32 *)peer)[1] = skc->skc_v6_daddr.in6_u.u6_addr32[1];
	((__be32 *)peer)[2] = skc->skc_v6_daddr.in6_u.u6_addr32[2];
	((__be32 *)peer)[3] = skc->skc_v6_daddr.in6_u.u6_addr32[3];
}

/* The record of the socket that a TCP iterator has come to; most have none. */
HF_INLINE struct hf_record *hf_record_of(struct sock_common *skc)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(skc);

	if (!tp || !((struct sock *)tp)->sk_bpf_storage)
		return 0;
	return bpf_sk_storage_get(&hf_sockets, tp, 0, 0);
}

/*
 * Which links the socket goes over, as it remembers them. A route that went with its link is dead
 * (dst_dev_put()): its device is blackhole_netdev then, which has no number.
 */
HF_INLINE void hf_socket_links(struct tcp_sock *tp, struct hf_view *view)
{
	struct sock *sk = (struct sock *)tp;
	struct net_device *dev;

	if (bpf_core_field_exists(sk->sk_rx_dst_ifindex))
		view->link_in = (__u32)sk->sk_rx_dst_ifindex;
	else if (bpf_core_field_exists(tp->inet_conn.icsk_inet.rx_dst_ifindex))
		view->link_in = (__u32)tp->inet_conn.icsk_inet.rx_dst_ifindex;
	dev = sk->sk_dst_cache->dev;
	if (!dev)
		return;
	view->link_out = (__u32)dev->ifindex;
	if (!view->link_out)
		view->link_out = HF_LINK_GONE; /* blackhole_netdev */
}

/* Whether that rule has decided on the socket last. */
HF_INLINE bool hf_decided_by(const struct hf_record *record, const struct hf_rule *rule)
{
	return rule && rule->generation == record->generation && rule->index == record->rule;
}

/*
 * Nothing to do: the rules in force have decided, and it is as they left it; or (before 5.15) it
 * is none of ours, and was remembered for who opened it.
 */
HF_INLINE bool hf_settled_under(const struct hf_record *record, const struct hf_rule *rule,
				const struct hf_keepalive *own)
{
	if (!rule)
		return !record->held_ns && record->opener;
	return hf_decided_by(record, rule) && hf_keepalive_equal(own, &record->set);
}

/*
 * Everything about the socket that goes to user space. record may be NULL. flow is the
 * socket's, with all that is known of its opener.
 */
HF_INLINE bool hf_socket_view(struct tcp_sock *tp, const struct hf_record *record,
			      const struct hf_flow *flow, struct hf_view *view)
{
	struct sock_common *skc = (struct sock_common *)tp;
	struct hf_keepalive own, sysctls;
	const struct hf_rule *rule;
	enum hf_side side;

	__builtin_memset(view, 0, sizeof(*view));
	rule = hf_rule_for(flow, &side);
	/* Of both in one if, clang from 16 on ORs the pointers: no verifier takes that. */
	if (!rule) {
		asm volatile("");
		if (!record)
			return false;
	}

	hf_socket_keepalive(tp, &own);
	hf_socket_sysctls(tp, &sysctls);
	view->now.on = own.on;
	view->now.time_s = hf_select(hf_if(own.time_s), own.time_s, sysctls.time_s);
	view->now.interval_s = hf_select(hf_if(own.interval_s), own.interval_s, sysctls.interval_s);
	view->now.probes = hf_select(hf_if(own.probes), own.probes, sysctls.probes);
	view->now.user_timeout_ms = own.user_timeout_ms;

	view->netns = skc->skc_net.net->ns.inum;
	view->state = skc->skc_state;
	view->local_port = flow->local_port;
	view->peer_port = flow->peer_port;
	view->opener = flow->opener;
	hf_socket_addresses(tp, &view->family, view->local, view->peer);
	hf_socket_links(tp, view);
	if (rule) {
		view->flags |= HF_VIEW_MATCH;
		view->rule = rule->index;
		view->generation = rule->generation;
		view->side = (__u8)side;
	}
	if (record) {
		view->flags |= HF_VIEW_RECORD;
		view->way = record->way;
		view->own = record->state;
		if (record->opener)
			view->flags |= HF_VIEW_OPENER;
		if (hf_settled_under(record, rule, &own))
			view->flags |= HF_VIEW_SETTLED;
	}
	return true;
}

#endif
