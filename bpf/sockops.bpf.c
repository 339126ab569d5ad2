// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * New connections: the kernel calls this for every TCP connection under the
 * cgroup at the moment that it is established, whichever network namespace it
 * lives in. Never a reply, always 1: other sockops programs may share the hook.
 */
#include "apply.h"
#include "ended.h"

/*
 * A socket that was held and disconnected, and is connected to somewhere else by now, or
 * listens: it gets back what the application would have without us.
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

HF_INLINE void hold(struct bpf_sock_ops *ops, struct tcp_sock *tp, const struct hf_rule *rule,
		    enum hf_side side, enum hf_way way)
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
	first = !record->held_ns; /* else it was connected before, and disconnected */
	record->cookie = bpf_get_socket_cookie(ops);
	record->held_ns = bpf_ktime_get_ns();
	record->way = (__u8)way;
	record->side = (__u8)side;
	record->opener = way == HF_WAY_CONNECT ? HF_OPENER_US : HF_OPENER_PEER;
	record->ended = 0;
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

/* A connection that is established, or a listener: what it accepts would inherit the rule's
 * values. One place for all, since what it calls is large. */
HF_INLINE void begun(struct bpf_sock_ops *ops)
{
	enum hf_way way =
		ops->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB ? HF_WAY_CONNECT : HF_WAY_ACCEPT;
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
	/* Restored (CRIU), whoever opened it: the next pass finds out. */
	if (BPF_CORE_READ_BITFIELD(tp, repair))
		return;
	if (ops->op != BPF_SOCK_OPS_TCP_LISTEN_CB) {
		flow.opener = way == HF_WAY_CONNECT ? HF_OPENER_US : HF_OPENER_PEER;
		rule = hf_rule_for(&flow, &side);
	}
	if (rule && rule->flags & HF_RULE_ENFORCE)
		hold(ops, tp, rule, side, way);
	else if (((struct sock *)tp)->sk_bpf_storage)
		give_back(ops, tp);
}

/* What ended.bpf.c does, of held sockets alone. */
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
