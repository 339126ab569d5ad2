// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shows user space the sockets on which it has to do what no iterator can. Each is written as a
 * struct hf_look, with everything that user space needs to decide on it; it also tells which
 * options of a socket are unset, which getsockopt(2) doesn't.
 *
 *   hf_look    all sockets with a record, for kernels whose iterators can't set options (before
 *              5.15)
 *   hf_closed  on every kernel the held sockets that aren't connected any more and that no rule
 *              would hold if they were. They are in no table of the kernel's, so the TCP iterators
 *              don't meet them, and the iterator over socket storage can't set options.
 */
#include "socket.h"

HF_INLINE int look_at(struct bpf_iter_meta *meta, struct tcp_sock *tp, struct hf_record *record,
		      struct hf_flow *flow)
{
	struct hf_look look;

	__builtin_memset(&look, 0, sizeof(look));
	hf_flow_recall(flow, record);
	if (!hf_socket_view(tp, record, flow, &look.view))
		return 0;
	look.view.cookie = record->cookie;
	hf_socket_keepalive(tp, &look.own);
	hf_socket_sysctls(tp, &look.sysctls);
	look.inode = hf_socket_inode(tp);
	look.idle_ms = hf_socket_idle_ms(tp);
	look.unanswered = tp->inet_conn.icsk_probes_out;
	bpf_seq_write(meta->seq, &look, sizeof(look));
	return 0;
}

HF_INLINE int look_at_open(struct bpf_iter_meta *meta, struct sock *sk, struct hf_record *record)
{
	struct hf_flow flow;
	struct tcp_sock *tp;

	if (sk->__sk_common.skc_state == BPF_TCP_CLOSE)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	return tp && hf_socket_flow(tp, &flow) ? look_at(meta, tp, record, &flow) : 0;
}

SEC("iter/bpf_sk_storage_map")
int hf_look(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct hf_record *record = ctx->value;
	struct sock *sk = ctx->sk;

	return sk && record ? look_at_open(ctx->meta, sk, record) : 0;
}

/*
 * Does what hf_look does for the network namespace of the process that opens it, on kernels that
 * refuse iterators over maps (view.bpf.c). It needs 5.11.
 */
SEC("iter/tcp")
int hf_look_here(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_record *record = skc ? hf_record_of(skc) : 0;

	return record ? look_at_open(ctx->meta, (struct sock *)skc, record) : 0;
}

/*
 * Returns whether the rules in force would hold the socket if it were connected to where it was. A
 * disconnected socket still has that address, and its record has the port.
 */
HF_INLINE bool would_hold(struct tcp_sock *tp, const struct hf_record *record, struct hf_flow *flow)
{
	const struct hf_rule *rule;
	enum hf_side side;

	if (record->side == HF_SIDE_CLIENT)
		flow->peer_port = record->port;
	else
		flow->local_port = record->port;
	hf_flow_recall(flow, record);
	rule = hf_rule_for(flow, &side);
	if (!rule || !(rule->flags & HF_RULE_ENFORCE))
		return false;
	/* Before 5.15 a socket's cgroup isn't read. */
	return !bpf_core_field_exists(((struct sock *)tp)->sk_cgrp_data.cgroup) ||
	       hf_socket_in_scope(tp);
}

HF_INLINE int look_at_closed(struct bpf_iter_meta *meta, struct sock *sk, struct tcp_sock *tp,
			     struct hf_record *record)
{
	struct hf_flow flow;

	/* Without a struct socket no application has it any more, or not yet. */
	if (sk->__sk_common.skc_state != BPF_TCP_CLOSE || !sk->sk_socket || !record->held_ns)
		return 0;
	if (!hf_socket_flow(tp, &flow) || would_hold(tp, record, &flow))
		return 0;
	return look_at(meta, tp, record, &flow);
}

SEC("iter/bpf_sk_storage_map")
int hf_closed(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct hf_record *record = ctx->value;
	struct sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : 0;

	return tp && record ? look_at_closed(ctx->meta, sk, tp, record) : 0;
}

/*
 * Does what hf_closed does, on kernels that refuse iterators over maps, for the sockets that
 * processes have open; it may write one more than once. It needs 5.11.
 */
SEC("iter/task_file")
int hf_closed_files(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct socket *socket = file ? bpf_sock_from_file(file) : 0;
	struct hf_record *record;
	struct tcp_sock *tp;

	if (!socket || !socket->sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(socket->sk);
	record = tp ? bpf_sk_storage_get(&hf_sockets, tp, 0, 0) : 0;
	return record ? look_at_closed(ctx->meta, (struct sock *)tp, tp, record) : 0;
}
