/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a TCP socket: where it goes, its keepalive settings, cgroup and network namespace. By typed
 * loads: bpf_getsockopt() knows the options since 6.1 only; lockdown forbids probe reads.
 */
#ifndef HOLDFAST_SOCKET_H
#define HOLDFAST_SOCKET_H

#include "decide.h"
#include "maps.h"

/*
 * Returns whether some rule may name the port on that side. It is cheap: the kernel inlines the
 * look-up in an array (array_map_gen_lookup()).
 */
HF_INLINE bool hf_port_named(enum hf_side side, __u16 port)
{
	struct hf_port_bitmap *gate;
	__u32 zero = 0;

	gate = bpf_map_lookup_elem(&hf_port_bitmap, &zero);
	return gate && gate->ports[side][port / 64] >> port % 64 & 1;
}

#define HF_LOOKUP(trie, key)	 ((const union hf_value *)bpf_map_lookup_elem((trie), (key)))
#define HF_MAY_MATCH(side, port) hf_port_named((side), (port))
#include "match.h"

#define HF_CGROUP_DEPTH_MAX 64

HF_INLINE __u32 hf_seconds(__u32 jiffies)
{
	__u32 hz = hf_hz;

	return hz ? jiffies / hz : 0;
}

/* Returns the time between two jiffies counts in milliseconds. */
HF_INLINE __u32 hf_since_ms(__u32 now, __u32 then)
{
	__u32 hz = hf_hz;

	return hz ? (__u32)((__u64)(now - then) * 1000 / hz) : 0;
}

/* Returns for how many milliseconds nothing has been received (keepalive_time_elapsed()). */
HF_INLINE __u32 hf_socket_idle_ms(struct tcp_sock *tp)
{
	__u32 now = (__u32)bpf_jiffies64();
	__u32 acknowledged = hf_since_ms(now, tp->rcv_tstamp);
	__u32 data = hf_since_ms(now, tp->inet_conn.icsk_ack.lrcvtime);

	return acknowledged < data ? acknowledged : data;
}

/*
 * Reads the socket's peer, ports and opener. Returns false if it is neither IPv4 nor IPv6.
 *
 * The backlog says who opened the connection: an accepted socket is a copy of its listener,
 * backlog included (sk_clone_lock()), and a socket that never listened has none. That fails for a
 * listener whose backlog is 0 (`listen(fd, 0)`) and for a connection that was restored; for both
 * hf_flow_ask_listeners() looks for a listener.
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

/* Returns the sockfs inode of the socket's file, or 0 if it has no file (any more). */
HF_INLINE __u32 hf_socket_inode(struct tcp_sock *tp)
{
	return (__u32)((struct sock *)tp)->sk_socket->file->f_inode->i_ino;
}

/* Reads the socket's own settings; 0 in a number means unset. */
HF_INLINE void hf_socket_keepalive(struct tcp_sock *tp, struct hf_keepalive *own)
{
	struct sock_common *skc = (struct sock_common *)tp;

	own->on = (skc->skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_KEEPOPEN)) & 1;
	own->time_s = hf_seconds(tp->keepalive_time);
	own->interval_s = hf_seconds(tp->keepalive_intvl);
	own->probes = tp->keepalive_probes;
	own->user_timeout_ms = tp->inet_conn.icsk_user_timeout;
}

/*
 * Returns the namespace's tcp_keepalive_probes. The field is a byte since 5.14 and was an int
 * before, so its address and its width are relocated separately.
 */
HF_INLINE __u32 hf_sysctl_probes(struct net *net)
{
	void *probes = __builtin_preserve_access_index(&net->ipv4.sysctl_tcp_keepalive_probes);

	asm volatile("" : "+r"(probes));
	if (bpf_core_field_size(net->ipv4.sysctl_tcp_keepalive_probes) == 1)
		return *(__u8 *)probes;
	return *(__u32 *)probes;
}

/* Reads the namespace's sysctls, which count where a socket has nothing set. */
HF_INLINE void hf_socket_sysctls(struct tcp_sock *tp, struct hf_keepalive *sysctls)
{
	struct net *net = ((struct sock_common *)tp)->skc_net.net;

	sysctls->on = 0;
	sysctls->time_s = hf_seconds((__u32)net->ipv4.sysctl_tcp_keepalive_time);
	sysctls->interval_s = hf_seconds((__u32)net->ipv4.sysctl_tcp_keepalive_intvl);
	sysctls->probes = hf_sysctl_probes(net);
	sysctls->user_timeout_ms = 0;
}

/* Returns whether the socket is in the cgroup subtree hf_cgroup_id; true if there is no limit. */
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

/* Returns whether some rule may name one of the flow's ports, whoever opened the connection. */
HF_INLINE bool hf_may_match(const struct hf_flow *flow)
{
	return hf_port_named(HF_SIDE_CLIENT, flow->peer_port) ||
	       hf_port_named(HF_SIDE_SERVER, flow->local_port);
}

/* Takes the opener that was found out when the record was made, if it was. */
HF_INLINE void hf_flow_recall(struct hf_flow *flow, const struct hf_record *record)
{
	__u8 opener = record->opener;

	if (opener)
		flow->opener = opener;
}

/* The third word of an IPv4-mapped IPv6 address; the first two are 0. */
#define HF_MAPPED bpf_htonl(0xffff)

/* Returns the key of a listener at the socket's local address and port. */
HF_INLINE struct hf_listener hf_listener_of(struct tcp_sock *tp)
{
	struct sock_common *skc = (struct sock_common *)tp;
	struct hf_listener key = {.netns = skc->skc_net.net->ns.inum, .port = skc->skc_num};

	if (skc->skc_family == AF_INET) {
		key.addr[2] = HF_MAPPED;
		key.addr[3] = skc->skc_rcv_saddr;
	} else {
		key.addr[0] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[0];
		key.addr[1] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[1];
		key.addr[2] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[2];
		key.addr[3] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[3];
	}
	return key;
}

/* Notes a listener of the iterator's namespace. The iterator meets all listeners first. */
HF_INLINE void hf_note_listener(struct bpf_iter_meta *meta, struct tcp_sock *tp)
{
	struct hf_listener key = hf_listener_of(tp);
	__u64 session = meta->session_id;

	bpf_map_update_elem(&hf_listeners, &key, &session, BPF_ANY);
	if (key.addr[0] | key.addr[1] | key.addr[2] | key.addr[3] ||
	    BPF_CORE_READ_BITFIELD((struct sock_common *)tp, skc_ipv6only))
		return;
	key.addr[2] = HF_MAPPED; /* it listens at :: for IPv4, too */
	bpf_map_update_elem(&hf_listeners, &key, &session, BPF_ANY);
}

HF_INLINE bool hf_is_listened(const struct hf_listener *key, struct bpf_iter_meta *meta)
{
	__u64 *session = bpf_map_lookup_elem(&hf_listeners, key);

	return session && *session == meta->session_id;
}

/*
 * Corrects the opener: a connection was opened by the peer if its local port is listened on, at its
 * local address or at all addresses. A listener at another address can't have accepted it.
 */
HF_INLINE void hf_flow_ask_listeners(struct hf_flow *flow, struct bpf_iter_meta *meta,
				     struct tcp_sock *tp)
{
	struct hf_listener key;

	if (flow->opener != HF_OPENER_US || !hf_may_match(flow))
		return;
	key = hf_listener_of(tp);
	if (!hf_is_listened(&key, meta)) {
		key.addr[2] = hf_select(hf_if(flow->family ^ 4), 0, HF_MAPPED);
		key.addr[0] = key.addr[1] = key.addr[3] = 0;
		if (!hf_is_listened(&key, meta))
			return;
	}
	flow->opener = HF_OPENER_PEER;
}

/* Returns the rule in force for a flow, or NULL. Sets *side as hf_match() does. */
HF_INLINE const struct hf_rule *hf_rule_for(const struct hf_flow *flow, enum hf_side *side)
{
	__u32 zero = 0;
	void *trie;

	*side = HF_SIDE_CLIENT;
	/* The bitmap comes first. port_bitmap.h says in which order it and the trie change. */
	if (!hf_may_match(flow))
		return 0;
	trie = bpf_map_lookup_elem(&hf_rules, &zero);
	return trie ? hf_match(trie, flow, side) : 0;
}

/* Reads both addresses as sock_diag shows them: an IPv4-mapped address stays family 6. */
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

/* Returns the record of a socket that a TCP iterator has come to, or NULL; most have none. */
HF_INLINE struct hf_record *hf_record_of(struct sock_common *skc)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(skc);

	if (!tp || !((struct sock *)tp)->sk_bpf_storage)
		return 0;
	return bpf_sk_storage_get(&hf_sockets, tp, 0, 0);
}

/*
 * Reads the network links by which the socket's last packets came and went. When a link is
 * removed, its routes get blackhole_netdev, which has no ifindex, as their device (dst_dev_put()).
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

/* Returns whether this rule, of this generation, decided on the socket last. */
HF_INLINE bool hf_decided_by(const struct hf_record *record, const struct hf_rule *rule)
{
	return rule && rule->generation == record->generation && rule->index == record->rule;
}

/* Returns whether the socket is being probed. */
HF_INLINE bool hf_is_probing(const struct hf_record *record)
{
	__u32 now = (__u32)(bpf_ktime_get_ns() >> HF_PROBE_SHIFT);

	return ((record->probe_end - now - 1) >> 31 | hf_if(!record->probe_end)) == 0;
}

/* Returns whether a user timeout was postponed that can be set now: see hf_plan_postpone(). */
HF_INLINE bool hf_completes(const struct hf_record *record, struct tcp_sock *tp)
{
	return record->postponed &&
	       !hf_if_overdue(hf_socket_idle_ms(tp), record->set.time_s, record->sysctl_time_s);
}

/*
 * Returns whether a pass has nothing to do on the socket: the rules in force have decided and the
 * socket is as they left it; or it is to be left alone; or (before 5.15) no rule matches, and the
 * record only remembers who opened the connection.
 */
HF_INLINE bool hf_settled_under(const struct hf_record *record, const struct hf_rule *rule,
				const struct hf_keepalive *own, struct tcp_sock *tp)
{
	if (record->left_alone)
		return true;
	if (!rule)
		return !record->held_ns && record->opener;
	if (!hf_decided_by(record, rule))
		return false;
	return hf_is_probing(record) ||
	       (hf_keepalive_equal(own, &record->set) && !hf_completes(record, tp));
}

/*
 * Fills in a view of the socket, all but the cookie. Returns false if the socket has no record
 * and no rule matches. `record` may be NULL; `flow` is the socket's, with its opener corrected.
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
	/*
	 * The asm keeps the two tests apart: clang from 16 on would OR the pointers, which the
	 * verifier refuses.
	 */
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
		view->flags |= (__u8)(hf_only_probed(record, &own) & HF_VIEW_PROBED);
		view->way = record->way;
		view->own = record->state;
		if (record->opener)
			view->flags |= HF_VIEW_OPENER;
		if (record->left_alone)
			view->flags |= HF_VIEW_LEFT_ALONE;
		if (hf_settled_under(record, rule, &own, tp))
			view->flags |= HF_VIEW_SETTLED;
	}
	return true;
}

#endif
