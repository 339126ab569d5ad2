// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Holds new connections. The kernel calls hf_sockops for every TCP connection under the cgroup at
 * the moment that it is established, whichever network namespace it lives in. The program sets no
 * reply and always returns 1, since other sockops programs may share the hook.
 */
#include "apply.h"
#include "ended.h"

/*
 * Gives a socket back the settings that the application would have without holdfast, and removes
 * its record. The socket was held and disconnected, and now listens or is connected to where no
 * rule holds it.
 */
HF_INLINE void give_back(struct bpf_sock_ops *ops, struct tcp_sock *tp)
{
	struct bpf_sock *sk = ops->sk;
	struct hf_record *record;
	struct hf_plan plan;

	if (!sk)
		return;
	record = bpf_sk_storage_get(&hf_sockets, sk, 0, 0);
	if (!record)
		return;
	if (record->held_ns) {
		hf_plan_read(&plan, tp);
		hf_plan_restore(&plan, record);
		hf_plan_carry_out(ops, tp, &plan, true);
	}
	bpf_sk_storage_delete(&hf_sockets, sk);
}

/*
 * Returns how the connection was established. A connection that both ends opened at the same time
 * (simultaneous open, RFC 9293) takes the kernel's passive path, too. Its socket is the
 * application's own, with a struct socket, whereas one that a listener has made gets its struct
 * socket at accept(), later. Only a subflow that joins a Multipath TCP connection may have one
 * sooner (mptcp_finish_join()); its backlog gives it away, see hf_socket_flow().
 */
HF_INLINE enum hf_way way_of(const struct bpf_sock_ops *ops, const struct sock *sk)
{
	if (ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		return HF_WAY_CONNECT;
	return sk->sk_socket && !sk->sk_max_ack_backlog ? HF_WAY_CONNECT : HF_WAY_ACCEPT;
}

HF_INLINE void hold(struct bpf_sock_ops *ops, struct tcp_sock *tp, const struct hf_rule *rule,
		    const struct hf_flow *flow, enum hf_side side, enum hf_way way)
{
	struct bpf_sock *sk = ops->sk;
	struct hf_record *record;
	struct hf_plan plan;
	bool first;

	if (!sk)
		return;
	record = bpf_sk_storage_get(&hf_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!record)
		return;
	first = !record->held_ns; /* false: it was held before, and disconnected */
	record->cookie = bpf_get_socket_cookie(ops);
	record->held_ns = bpf_ktime_get_ns();
	record->way = (__u8)way;
	hf_record_end(record, side, flow->local_port, flow->peer_port);
	record->opener = way == HF_WAY_CONNECT ? HF_OPENER_US : HF_OPENER_PEER;
	record->ended = 0;
	record->left_alone = 0; /* that was the connection before */
	hf_plan_read(&plan, tp);
	hf_plan_hold(&plan, record, rule, first);
	if (hf_plan_carry_out(ops, tp, &plan, true)) {
		bpf_sk_storage_delete(&hf_sockets, sk);
		return;
	}
	record->set = plan.want;
	hf_plan_record(&plan, record, rule);
	hf_count_held(record);
	if (hf_tell_by_sockops)
		bpf_sock_ops_cb_flags_set(ops, (int)ops->bpf_sock_ops_cb_flags |
						       BPF_SOCK_OPS_STATE_CB_FLAG);
}

/*
 * Holds a connection that was established now, or gives the socket back where no rule holds it. A
 * listener is given back, since the connections that it accepts would inherit the rule's values.
 * One function does all this because the code that it inlines is large.
 */
HF_INLINE void begun(struct bpf_sock_ops *ops)
{
	enum hf_way way = HF_WAY_ACCEPT;
	struct bpf_sock *sk = ops->sk;
	const struct hf_rule *rule = 0;
	enum hf_side side = 0;
	struct hf_flow flow;
	struct tcp_sock *tp;

	if (!sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp || !hf_socket_flow(tp, &flow))
		return;
	/* CRIU restores it, so the op doesn't say who opened it. The next pass finds out. */
	if (BPF_CORE_READ_BITFIELD(tp, repair))
		return;
	if (ops->op != BPF_SOCK_OPS_TCP_LISTEN_CB) {
		way = way_of(ops, (struct sock *)tp);
		flow.opener = way == HF_WAY_CONNECT ? HF_OPENER_US : HF_OPENER_PEER;
		rule = hf_rule_for(&flow, &side);
	}
	if (rule && rule->flags & HF_RULE_ENFORCE)
		hold(ops, tp, rule, &flow, side, way);
	else if (((struct sock *)tp)->sk_bpf_storage)
		give_back(ops, tp);
}

/* Does what hf_ended does, but runs only at the state changes of held sockets. */
HF_INLINE void state_changed(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct hf_record *record;
	struct tcp_sock *tp;

	if (!hf_tell_by_sockops || !sk)
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	record = bpf_sk_storage_get(&hf_sockets, sk, 0, 0);
	if (tp && record)
		hf_state_changed(tp, record, (int)ops->args[0], (int)ops->args[1]);
}

SEC("sockops")
int hf_sockops(struct bpf_sock_ops *ops)
{
	switch (ops->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		begun(ops);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		state_changed(ops);
		break;
	}
	return 1;
}
