// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reports the ends of held connections from the tracepoint of TCP state changes. It is for
 * kernels before 6.12: there only a sockops program can ask for a socket's state callback, and
 * connections that were open before the programs were attached never meet one. It is also
 * attached where other sockops programs may switch the callback off. A socket without a record
 * costs one look-up.
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
