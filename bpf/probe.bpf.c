// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Has the kernel send a keepalive probe now on the sockets in hf_targets. It sets their keepalive
 * time to the shortest one, HF_PROBE_TIME_S: the kernel probes a socket once it has idled for
 * longer than its time. A sweep afterwards puts the rule's time back; hf_record.probe_end tells the
 * sweep that holdfast set the short time. For each socket on which the kernel refuses the option
 * it writes a struct hf_sweep.
 */
#include "apply.h"

SEC("iter/tcp")
int hf_probe(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_sweep refused = {.what = HF_SWEPT_FAILED};
	struct hf_record *record;
	struct hf_keepalive now;
	struct tcp_sock *tp;
	__u32 ticks = (__u32)(bpf_ktime_get_ns() >> HF_PROBE_SHIFT), *until;
	__u64 cookie;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || skc->skc_state != BPF_TCP_ESTABLISHED)
		return 0;
	record = bpf_sk_storage_get(&hf_sockets, tp, 0, 0);
	if (!record || record->left_alone)
		return 0;
	cookie = record->cookie;
	until = bpf_map_lookup_elem(&hf_targets, &cookie);
	if (!until)
		return 0;
	if (*until) {
		/* The next sweep puts the time back. A later probe by someone else goes on. */
		if (record->probe_end && (__s32)(record->probe_end - *until) <= 0)
			record->probe_end = (ticks - 1) | 1;
		return 0;
	}
	hf_socket_keepalive(tp, &now);
	if (!now.on || tp->inet_conn.icsk_probes_out)
		return 0; /* keepalive is off, or probes are out already */
	/* This comes before the option, so that no pass takes the time for the application's. */
	record->probe_end = (ticks + HF_PROBE_TICKS) | 1; /* never 0 */
	refused.error = hf_option(tp, SOL_TCP, TCP_KEEPIDLE, HF_PROBE_TIME_S);
	if (refused.error) {
		refused.cookie = cookie;
		bpf_seq_write(ctx->meta->seq, &refused, sizeof(refused));
	}
	return 0;
}
