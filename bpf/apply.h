/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries out the plans of plan.h inside the kernel: bpf_setsockopt() sets options, typed
 * loads read the socket. The sockops program uses it when a connection is established, the
 * sweep (a TCP iterator) for existing sockets. Both run with the socket locked.
 *
 * `ctx` is the first argument of bpf_setsockopt(), which depends on the program type: the
 * context in a sockops program, the socket in an iterator and in the guard.
 */
#ifndef HOLDFAST_APPLY_H
#define HOLDFAST_APPLY_H

#include "socket.h"

HF_INLINE int hf_option(void *ctx, int level, int option, __u32 value)
{
	int v = (int)value;

	return (int)bpf_setsockopt(ctx, level, option, &v, sizeof(v));
}

#define HF_OPTION(ctx, level, option, value) hf_option((ctx), (level), (option), (value))
#define HF_READ(socket, keepalive)	     hf_socket_keepalive((socket), (keepalive))
#include "plan.h"

/* Reads what a plan starts from: the socket's settings and its namespace's sysctls. */
HF_INLINE void hf_plan_read(struct hf_plan *plan, struct tcp_sock *tp)
{
	hf_socket_keepalive(tp, &plan->now);
	hf_socket_sysctls(tp, &plan->sysctls);
}

/*
 * Returns whether the kernel calls the sockops program at this socket's state changes. Always
 * true where the sweep can't ask for that (hf_marks).
 */
HF_INLINE bool hf_is_marked(struct tcp_sock *tp)
{
	return !hf_marks || tp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG;
}

/*
 * Returns whether the socket and the namespace's sysctls are as the last visit left them. The
 * rule that decided then has nothing to do in that case, which is the most frequent one, and it
 * is found out without writing to the socket.
 */
HF_INLINE bool hf_as_it_was_left(const struct hf_record *record, const struct hf_plan *plan,
				 struct tcp_sock *tp)
{
	return hf_keepalive_equal(&plan->now, &record->set) && !record->probe_end &&
	       !hf_completes(record, tp) && record->sysctl_time_s == plan->sysctls.time_s &&
	       record->sysctl_interval_s == plan->sysctls.interval_s &&
	       record->sysctl_probes == plan->sysctls.probes;
}

/*
 * Asks the kernel to call the sockops program at this socket's state changes, and keeps the
 * flags that other programs have set. The sockops program itself uses
 * bpf_sock_ops_cb_flags_set() instead.
 */
HF_INLINE void hf_mark(void *ctx, struct tcp_sock *tp)
{
	__u32 flags = tp->bpf_sock_ops_cb_flags;

	if (!hf_is_marked(tp))
		hf_option(ctx, SOL_TCP, HF_TCP_BPF_SOCK_OPS_CB_FLAGS,
			  flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

HF_INLINE void hf_count_held(const struct hf_record *record)
{
	struct hf_counters *counters;
	__u64 key = record->rule_key;
	__u8 way = record->way;

	counters = bpf_map_lookup_elem(&hf_counters, &key);
	if (counters && way < 3)
		counters->held[way]++;
}

#endif
