/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h over the kernel's own means: bpf_setsockopt(), and typed loads from the
 * socket. Called when a connection is established (sockops) and by the sweep
 * over existing sockets (TCP iterator). Both run with the socket locked.
 *
 * `ctx` is what bpf_setsockopt() wants of the program kind: the context of a
 * sockops program, the socket itself in an iterator.
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

/* What the plans start from. */
HF_INLINE void hf_plan_read(struct hf_plan *plan, struct tcp_sock *tp)
{
	hf_socket_keepalive(tp, &plan->now);
	hf_socket_sysctls(tp, &plan->sysctls);
}

/* Whether the sockops program hears of this socket's state changes, where it is to. */
HF_INLINE bool hf_is_marked(struct tcp_sock *tp)
{
	return !hf_marks || tp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG;
}

/*
 * Under the rule that decided last there is nothing to do: what most sockets are at most
 * times, told without writing to any.
 */
HF_INLINE bool hf_as_it_was_left(const struct hf_record *record, const struct hf_plan *plan)
{
	return hf_keepalive_equal(&plan->now, &record->set) && !record->probing &&
	       record->sysctl_time_s == plan->sysctls.time_s &&
	       record->sysctl_interval_s == plan->sysctls.interval_s &&
	       record->sysctl_probes == plan->sysctls.probes;
}

/*
 * Has the sockops program told of this socket's state changes; other programs' flags
 * stay. Not for sockops, which has a helper of its own for it.
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
