// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * For kernels whose iterators can't set options: all that deciding in user space
 * takes, of every socket that has a record; a struct hf_look each. What is unset
 * on a socket can't be told by getsockopt(2), and here it can.
 */
#include "socket.h"

SEC("iter/bpf_sk_storage_map")
int hf_look(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct hf_record *record = ctx->value;
	struct sock *sk = ctx->sk;
	struct hf_flow flow;
	struct hf_look look;
	struct tcp_sock *tp;

	if (!sk || !record)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || sk->__sk_common.skc_state == BPF_TCP_CLOSE)
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
	bpf_seq_write(ctx->meta->seq, &look, sizeof(look));
	return 0;
}
