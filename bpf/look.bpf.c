// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For kernels whose iterators can't set options: all that deciding in user space
 * takes, of every socket that has a record; a struct hf_look each. What is unset
 * on a socket can't be told by getsockopt(2), and here it can.
 */
#include "socket.h"

HF_INLINE int look_at(struct bpf_iter_meta *meta, struct sock *sk, struct hf_record *record)
{
	struct hf_look look;
	struct hf_flow flow;
	struct tcp_sock *tp;

	if (sk->__sk_common.skc_state == BPF_TCP_CLOSE)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	__builtin_memset(&look, 0, sizeof(look));
	if (!hf_socket_flow(tp, &flow))
		return 0;
	hf_flow_recall(&flow, record);
	if (!hf_socket_view(tp, record, &flow, &look.view))
		return 0;
	look.view.cookie = record->cookie;
	hf_socket_keepalive(tp, &look.own);
	hf_socket_sysctls(tp, &look.sysctls);
	look.inode = hf_socket_inode(tp);
	look.unanswered = tp->inet_conn.icsk_probes_out;
	bpf_seq_write(meta->seq, &look, sizeof(look));
	return 0;
}

SEC("iter/bpf_sk_storage_map")
int hf_look(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct hf_record *record = ctx->value;
	struct sock *sk = ctx->sk;

	return sk && record ? look_at(ctx->meta, sk, record) : 0;
}

/* Of the opener's namespace: see view.bpf.c. Not before 5.11. */
SEC("iter/tcp")
int hf_look_here(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_record *record = skc ? hf_record_of(skc) : 0;

	return record ? look_at(ctx->meta, (struct sock *)skc, record) : 0;
}
