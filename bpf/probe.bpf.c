// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A keepalive probe now. The kernel sends one as soon as a socket has idled for
 * longer than its keepalive time, so that the shortest time does it. A sweep
 * afterwards puts the rule's time back: struct hf_record.probing tells it that
 * this one was ours.
 */
#include "apply.h"

SEC("iter/tcp")
int hf_probe(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct hf_record *record;
	struct hf_keepalive now;
	struct tcp_sock *tp;
	__u64 cookie;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp || skc->skc_state != BPF_TCP_ESTABLISHED)
		return 0;
	record = bpf_sk_storage_get(&hf_sockets, tp, 0, 0);
	if (!record)
		return 0;
	cookie = record->cookie;
	if (!bpf_map_lookup_elem(&hf_targets, &cookie))
		return 0;
	hf_socket_keepalive(tp, &now);
	if (!now.on || tp->inet_conn.icsk_probes_out)
		return 0; /* is being probed as it is */
	/* First, so that the time is never taken for the application's. */
	record->probing = 1;
	hf_option(tp, SOL_TCP, TCP_KEEPIDLE, HF_PROBE_TIME_S);
	return 0;
}
