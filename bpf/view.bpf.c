// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is there, read from the sockets themselves. Two iterators that write a
 * struct hf_view a socket:
 *
 *   hf_held     the sockets that have a record, of all namespaces in one pass
 *   hf_matched  the sockets of the opener's namespace that a rule matches,
 *               whether they have a record or not
 *
 * and one that says of the same sockets as hf_held in eight bytes each all that a
 * reconcile pass wants to know:
 *
 *   hf_settled  the socket's cookie where there is nothing to do, else its
 *               namespace with HF_UNSETTLED
 *
 * The shorter, the better: at every read of some 32 KiB the kernel goes through a
 * list of half the sockets or more to find the place where it was
 * (bpf_sk_storage_map_seq_find_next()).
 *
 * Some kernels refuse iterators over maps (hardened ones, with EPERM). There
 * hf_held_here and hf_settled_here do the same of the opener's namespace.
 *
 * They stay pinned, so that `status` can read them while no daemon runs.
 */
#include "socket.h"

/* The reader may want to know who holds it: see holders.bpf.c. */
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
	if (!hf_settled_under(record, rule, &own)) {
		/* A connection that is being closed isn't held again; but given back it is. */
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
