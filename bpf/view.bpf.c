// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shows sockets to user space, as read from the sockets themselves. Two iterators write a struct
 * hf_view for each socket:
 *
 *   hf_held     sockets with a record, of all network namespaces in one pass
 *   hf_matched  sockets that a rule matches or that have a record, of the network namespace of
 *               the process that opens the iterator
 *
 * A third one writes eight bytes for each socket of hf_held, all that a reconcile pass needs:
 *
 *   hf_settled  the socket's cookie if there is nothing to do, else the inode of its network
 *               namespace with HF_UNSETTLED
 *
 * It writes so little because at each read of some 32 KiB the kernel goes through a list of half
 * the sockets or more to find its place again (bpf_sk_storage_map_seq_find_next()).
 *
 * Hardened kernels refuse iterators over maps with EPERM. There hf_held_here and hf_settled_here
 * write the same for the network namespace of the process that opens them.
 *
 * The iterators stay pinned, so that `status` can read them while no daemon runs.
 */
#include "socket.h"

/*
 * Notes the socket's file in hf_wanted if the reader has registered there: it may ask hf_holders
 * next which processes hold the socket.
 */
HF_INLINE void remember(struct tcp_sock *tp, __u64 cookie)
{
	struct hf_wanted key = {.reader = (__u32)(bpf_get_current_pid_tgid() >> 32)};
	__u64 *left = bpf_map_lookup_elem(&hf_wanted, &key);

	if (!left || !*left)
		return;
	key.file = (__u64)((struct sock *)tp)->sk_socket->file;
	if (key.file && !bpf_map_update_elem(&hf_wanted, &key, &cookie, BPF_ANY))
		--*left;
}

/*
 * Tells a probe's answer: a packet from the peer that came later than all data of both sides. The
 * time between is the gap that the connection has survived, or several gaps of the keepalive time.
 */
HF_INLINE void view_gap(struct tcp_sock *tp, struct hf_view *view)
{
	__u32 now = (__u32)bpf_jiffies64();
	__u32 sent = hf_since_ms(now, tp->lsndtime);
	__u32 data = hf_since_ms(now, tp->inet_conn.icsk_ack.lrcvtime);
	__u32 received = hf_since_ms(now, tp->rcv_tstamp);

	if (sent < data)
		data = sent;
	view->received_ms = received < data ? received : data;
	view->gap_ms = data - view->received_ms;
}

HF_INLINE int held(struct bpf_iter_meta *meta, struct sock *sk, struct hf_record *record)
{
	struct hf_flow flow;
	struct hf_view view;
	struct tcp_sock *tp;

	if (sk->__sk_common.skc_state == BPF_TCP_CLOSE)
		return 0; /* over, though the application still has the file */
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !hf_socket_flow(tp, &flow))
		return 0;
	hf_flow_recall(&flow, record);
	if (!hf_socket_view(tp, record, &flow, &view))
		return 0;
	view.cookie = record->cookie;
	view.held_ns = record->held_ns;
	view_gap(tp, &view);
	remember(tp, view.cookie);
	bpf_seq_write(meta->seq, &view, sizeof(view));
	return 0;
}

SEC("iter/bpf_sk_storage_map")
int hf_held(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct hf_record *record = ctx->value;
	struct sock *sk = ctx->sk;

	return sk && record ? held(ctx->meta, sk, record) : 0;
}

HF_INLINE int settled(struct bpf_iter_meta *meta, struct sock *sk, struct hf_record *record)
{
	const struct hf_rule *rule;
	struct hf_keepalive own;
	struct hf_flow flow;
	struct tcp_sock *tp;
	enum hf_side side;
	__u64 word;

	if (sk->__sk_common.skc_state == BPF_TCP_CLOSE)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !hf_socket_flow(tp, &flow))
		return 0;
	hf_flow_recall(&flow, record);
	rule = hf_rule_for(&flow, &side);
	hf_socket_keepalive(tp, &own);
	word = record->cookie;
	if (!hf_settled_under(record, rule, &own, tp)) {
		/* A sweep doesn't hold a closing connection again, but it restores one. */
		if (rule && sk->__sk_common.skc_state != BPF_TCP_ESTABLISHED)
			return 0;
		word = HF_UNSETTLED | sk->__sk_common.skc_net.net->ns.inum;
	}
	bpf_seq_write(meta->seq, &word, sizeof(word));
	return 0;
}

SEC("iter/bpf_sk_storage_map")
int hf_settled(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct hf_record *record = ctx->value;
	struct sock *sk = ctx->sk;

	return sk && record ? settled(ctx->meta, sk, record) : 0;
}

SEC("iter/tcp")
int hf_held_here(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_record *record = skc ? hf_record_of(skc) : 0;

	return record ? held(ctx->meta, (struct sock *)skc, record) : 0;
}

SEC("iter/tcp")
int hf_settled_here(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_record *record = skc ? hf_record_of(skc) : 0;

	return record ? settled(ctx->meta, (struct sock *)skc, record) : 0;
}

SEC("iter/tcp")
int hf_matched(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_record *record;
	struct hf_flow flow;
	struct hf_view view;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || !hf_socket_flow(tp, &flow))
		return 0;
	if (skc->skc_state == BPF_TCP_LISTEN) {
		hf_note_listener(ctx->meta, tp);
		return 0;
	}
	if (!hf_socket_in_scope(tp))
		return 0;
	record = bpf_sk_storage_get(&hf_sockets, tp, 0, 0);
	if (record)
		hf_flow_recall(&flow, record);
	else
		hf_flow_ask_listeners(&flow, ctx->meta, tp);
	if (!hf_socket_view(tp, record, &flow, &view))
		return 0;
	view.cookie = bpf_get_socket_cookie(tp);
	remember(tp, view.cookie);
	bpf_seq_write(ctx->meta->seq, &view, sizeof(view));
	return 0;
}
