// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Existing connections: a TCP iterator over one network namespace, that of the
 * process that opens it. It makes every socket what the rules in force say:
 * held where one matches, restored where none does any more. With an empty
 * trie that is the way out: everything is restored.
 *
 * Reading it is harmless at any time; there is nothing to do the second time.
 * The kernel locks the socket while the program runs (since 5.15).
 */
#include "apply.h"

/*
 * Say what is about to happen. False: the reader's buffer is full; the kernel
 * then calls the program again for the same socket with an empty one, so that
 * whoever gets false must leave everything as it is.
 */
HF_INLINE bool report(struct bpf_iter__tcp *ctx, struct tcp_sock *tp, __u64 cookie,
		      enum hf_swept what, int error)
{
	struct sock_common *skc = (struct sock_common *)tp;
	struct hf_sweep sweep = {
		.cookie = cookie,
		.netns = skc->skc_net.net->ns.inum,
		.local_port = skc->skc_num,
		.peer_port = bpf_ntohs(skc->skc_dport),
		.error = error,
		.what = (__u8)what,
	};

	return bpf_seq_write(ctx->meta->seq, &sweep, sizeof(sweep)) == 0;
}

HF_INLINE void hold(struct bpf_iter__tcp *ctx, struct tcp_sock *tp, struct hf_record *record,
		    const struct hf_rule *rule, const struct hf_flow *flow, enum hf_side side)
{
	enum hf_swept what = HF_SWEPT_HELD;
	bool first = !record, marked = hf_is_marked(tp);
	struct hf_plan plan;
	int err;

	hf_plan_read(&plan, tp);
	if (record && marked && hf_decided_by(record, rule) && hf_as_it_was_left(record, &plan))
		return;
	if (first) {
		record = bpf_sk_storage_get(&hf_sockets, tp, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!record)
			return;
		record->cookie = bpf_get_socket_cookie(tp);
		record->held_ns = bpf_ktime_get_ns();
		record->way = HF_WAY_SWEEP;
		record->opener = flow->opener;
	} else if (record->generation == rule->generation) {
		what = HF_SWEPT_HEALED;
	} else {
		what = HF_SWEPT_CHANGED;
	}

	hf_plan_hold(&plan, record, rule, first);
	if (first || hf_plan_changes(&plan)) {
		if (!report(ctx, tp, record->cookie, what, 0)) {
			if (first)
				bpf_sk_storage_delete(&hf_sockets, tp);
			return;
		}
		err = hf_plan_carry_out(tp, tp, &plan, false);
		if (err) {
			report(ctx, tp, record->cookie, HF_SWEPT_FAILED, err);
			bpf_sk_storage_delete(&hf_sockets, tp);
			return;
		}
	} else if (!marked && !report(ctx, tp, record->cookie, HF_SWEPT_MARKED, 0)) {
		return;
	}
	hf_mark(tp, tp);
	hf_socket_keepalive(tp, &record->set);
	hf_plan_record(&plan, record, rule);
	record->side = (__u8)side;
	if (first)
		hf_count_held(record);
}

HF_INLINE void restore(struct bpf_iter__tcp *ctx, struct tcp_sock *tp, struct hf_record *record)
{
	struct hf_plan plan;
	int err;

	hf_plan_read(&plan, tp);
	hf_plan_restore(&plan, record);
	if (!report(ctx, tp, record->cookie, HF_SWEPT_RESTORED, 0))
		return;
	err = hf_plan_carry_out(tp, tp, &plan, false);
	if (err)
		report(ctx, tp, record->cookie, HF_SWEPT_FAILED, err);
	bpf_sk_storage_delete(&hf_sockets, tp);
}

/* Of a socket that no rule matches and that isn't held: it would match as the other end. */
HF_INLINE bool is_other_side(struct hf_flow *flow)
{
	enum hf_side side;

	flow->opener = HF_OPENER_UNKNOWN;
	return hf_rule_for(flow, &side) != 0;
}

SEC("iter/tcp")
int hf_sweep(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_record *record = 0;
	const struct hf_rule *rule;
	struct hf_flow flow;
	struct tcp_sock *tp;
	enum hf_side side;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc); /* NULL: a request or time-wait socket */
	if (!tp || !hf_socket_flow(tp, &flow))
		return 0;
	if (skc->skc_state == BPF_TCP_LISTEN)
		hf_note_listener(ctx->meta, tp);
	if (((struct sock *)tp)->sk_bpf_storage)
		record = bpf_sk_storage_get(&hf_sockets, tp, 0, 0);
	if (record)
		hf_flow_recall(&flow, record);
	else
		hf_flow_ask_listeners(&flow, ctx->meta, tp);

	rule = hf_rule_for(&flow, &side);
	if (!rule && !record) {
		if (skc->skc_state == BPF_TCP_ESTABLISHED && is_other_side(&flow))
			report(ctx, tp, bpf_get_socket_cookie(tp), HF_SWEPT_OTHER_SIDE, 0);
		return 0;
	}
	if (!rule || !(rule->flags & HF_RULE_ENFORCE) || !hf_socket_in_scope(tp)) {
		if (record)
			restore(ctx, tp, record);
		return 0;
	}
	if (skc->skc_state == BPF_TCP_ESTABLISHED)
		hold(ctx, tp, record, rule, &flow, side);
	return 0;
}
