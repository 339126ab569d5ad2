// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The sweep makes existing connections what the rules in force say: it holds each socket that a
 * rule matches, and restores each held socket that no rule matches any more. Once no rules are in
 * force it restores all of them. It is a TCP iterator over the network namespace of the process
 * that opens it.
 *
 * Reading it is harmless at any time: a second sweep finds nothing to do. The kernel locks the
 * socket while the program runs (since 5.15).
 */
#include "apply.h"

/*
 * Reports what is about to be done to a socket. Returns false if the reader's buffer is full. The
 * kernel then calls the program again for the same socket with an empty buffer, so the caller has
 * to leave everything as it is.
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
	if (record && marked && hf_decided_by(record, rule) &&
	    (hf_as_it_was_left(record, &plan, tp) || hf_is_probing(record)))
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
		what = (enum hf_swept)hf_select(hf_only_probed(record, &plan.now), HF_SWEPT_PROBED,
						HF_SWEPT_HEALED);
	} else {
		what = HF_SWEPT_CHANGED;
	}

	hf_plan_hold(&plan, record, rule, first);
	hf_plan_postpone(&plan, hf_socket_idle_ms(tp));
	if (what == HF_SWEPT_HEALED && record->postponed && !plan.undone)
		what = HF_SWEPT_COMPLETED;
	if (first || hf_plan_changes(&plan)) {
		if (!report(ctx, tp, record->cookie, what, 0)) {
			if (first)
				bpf_sk_storage_delete(&hf_sockets, tp);
			return;
		}
		err = hf_plan_carry_out(tp, tp, &plan, false);
		if (err) {
			report(ctx, tp, record->cookie, HF_SWEPT_FAILED, err);
			if (first) /* else it stays held as it was, and the next sweep tries again
				    */
				bpf_sk_storage_delete(&hf_sockets, tp);
			return;
		}
	} else if (!marked && !report(ctx, tp, record->cookie, HF_SWEPT_MARKED, 0)) {
		return;
	}
	hf_mark(tp, tp);
	hf_socket_keepalive(tp, &record->set);
	hf_plan_record(&plan, record, rule);
	hf_record_end(record, side, flow->local_port, flow->peer_port);
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

/*
 * Returns whether a rule has the socket's port, but for the other side. The socket is one that no
 * rule matches and that isn't held.
 */
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
	if (record && record->left_alone)
		return 0;
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
