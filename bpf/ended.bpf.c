// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ends of held connections, told apart. For kernels before 6.12, attached to
 * the tracepoint of TCP state changes, because a sockops state callback must be
 * asked for on every socket by a sockops program there: connections that were open
 * before us never meet one. A socket without a record costs one look-up.
 */
#include "ended.h"

SEC("tp_btf/inet_sock_set_state")
int hf_ended(__u64 *ctx)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((struct sock *)ctx[0]);
	struct hf_record *record;

	if (!tp)
		return 0;
	record = bpf_sk_storage_get(&hf_sockets, tp, 0, 0);
	if (record)
		hf_state_changed(tp, record, (int)ctx[1], (int)ctx[2]);
	return 0;
}
