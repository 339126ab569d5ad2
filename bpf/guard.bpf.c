// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard: what an application asks of a socket that is held already. It is
 * attached to cgroup/setsockopt, and only while some rule needs it. The kernel
 * locks the socket while it runs.
 *
 * What is asked for is remembered, whatever becomes of it; then it is decided
 * anew what the socket is to have. Two outcomes, both of them success for the
 * application:
 *   pass      that is what is asked for, and the kernel does it
 *   swallow   it isn't: nothing happens (optlen -1 bypasses the kernel)
 * and with either one the socket's other options may change: under when-longer,
 * an application that chooses a keepalive time shorter than the rule's gets all
 * of its own settings.
 */
#include "apply.h"

/*
 * A value longer than a page reaches us cut off; unless somebody says that the
 * caller's own buffer is to be used (optlen 0), some kernels then refuse it with
 * EFAULT. Anything else stays as other programs on this hook have left it.
 */
HF_INLINE int pass(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > (long)ctx->optval_end - (long)ctx->optval)
		ctx->optlen = 0;
	return 1;
}

HF_INLINE int swallow(struct bpf_sockopt *ctx, struct hf_record *record)
{
	__u64 key = record->rule_key;
	struct hf_counters *counters = bpf_map_lookup_elem(&hf_counters, &key);

	if (counters)
		counters->guarded++;
	ctx->optlen = -1;
	return 1;
}

HF_INLINE bool is_ours(const struct bpf_sockopt *ctx)
{
	if (ctx->level == SOL_SOCKET)
		return ctx->optname == SO_KEEPALIVE;
	return ctx->level == SOL_TCP &&
	       (ctx->optname == TCP_KEEPIDLE || ctx->optname == TCP_KEEPINTVL ||
		ctx->optname == TCP_KEEPCNT || ctx->optname == TCP_USER_TIMEOUT);
}

/* Put value where the option belongs. Its HF_CHOSE_*; 0: the kernel is going to refuse it. */
HF_INLINE __u8 ask(struct hf_keepalive *asked, const struct bpf_sockopt *ctx, int value)
{
	if (ctx->level == SOL_SOCKET) {
		asked->on = value != 0;
		return HF_CHOSE_ON;
	}
	if (value < 0 || (!value && ctx->optname != TCP_USER_TIMEOUT))
		return 0;
	switch (ctx->optname) {
	case TCP_KEEPIDLE:
		if (value > 32767)
			return 0;
		asked->time_s = (__u32)value;
		return HF_CHOSE_TIME;
	case TCP_KEEPINTVL:
		if (value > 32767)
			return 0;
		asked->interval_s = (__u32)value;
		return HF_CHOSE_INTERVAL;
	case TCP_KEEPCNT:
		if (value > 127)
			return 0;
		asked->probes = (__u32)value;
		return HF_CHOSE_PROBES;
	}
	asked->user_timeout_ms = (__u32)value;
	return HF_CHOSE_USER_TIMEOUT;
}

/* What the rule says that decided last, and the socket's namespace. */
HF_INLINE void recall(const struct hf_record *record, struct hf_rule *rule,
		      struct hf_keepalive *sysctls)
{
	__builtin_memset(rule, 0, sizeof(*rule));
	rule->time_s = record->rule_time_s;
	rule->interval_s = record->rule_interval_s;
	rule->probes = record->rule_probes;
	rule->user_timeout_ms = record->rule_user_timeout_ms;
	rule->override = record->rule_override;
	__builtin_memset(sysctls, 0, sizeof(*sysctls));
	sysctls->time_s = record->sysctl_time_s;
	sysctls->interval_s = record->sysctl_interval_s;
	sysctls->probes = record->sysctl_probes;
}

/* Sets an option if the socket hasn't that value. False: it couldn't be set. */
HF_INLINE bool put(struct bpf_sock *sk, int level, int option, __u32 *set, __u32 want)
{
	if (*set == want)
		return true;
	if (!hf_guard_sets || hf_option(sk, level, option, want))
		return false;
	*set = want;
	return true;
}

/* In the order that hf_put() has; what the kernel is going to set now is in `set` already. */
HF_INLINE void put_all(struct bpf_sock *sk, struct hf_record *record,
		       const struct hf_keepalive *want)
{
	struct hf_keepalive *set = &record->set;
	bool done = put(sk, SOL_SOCKET, SO_KEEPALIVE, &set->on, want->on);

	done &= put(sk, SOL_TCP, TCP_KEEPINTVL, &set->interval_s, want->interval_s);
	done &= put(sk, SOL_TCP, TCP_KEEPCNT, &set->probes, want->probes);
	done &= put(sk, SOL_TCP, TCP_USER_TIMEOUT, &set->user_timeout_ms, want->user_timeout_ms);
	done &= put(sk, SOL_TCP, TCP_KEEPIDLE, &set->time_s, want->time_s);
	if (!done)
		record->generation = 0; /* the next pass does it */
}

HF_INLINE int decide(struct bpf_sockopt *ctx, struct bpf_sock *sk, struct hf_record *record,
		     int value)
{
	struct hf_keepalive sysctls, want, with;
	struct hf_rule rule;
	bool stands;
	__u8 chose;

	chose = ask(&record->app, ctx, value);
	if (!chose)
		return pass(ctx);
	if (chose == HF_CHOSE_ON)
		record->chosen &= (__u8)~HF_CHOSE_TIME_ONLY;
	else if (chose == HF_CHOSE_TIME && record->set.on && !(record->chosen & HF_CHOSE_ON))
		record->chosen |= HF_CHOSE_TIME_ONLY;
	record->chosen |= chose;
	recall(record, &rule, &sysctls);
	hf_decide(record, &rule, &sysctls, &want);
	hf_unset(&want, &record->set, &sysctls);

	with = want;
	ask(&with, ctx, value);
	stands = hf_keepalive_equal(&with, &want);
	if (stands)
		ask(&record->set, ctx, value);
	put_all(sk, record, &want);
	return stands ? pass(ctx) : swallow(ctx, record);
}

SEC("cgroup/setsockopt")
int hf_guard(struct bpf_sockopt *ctx)
{
	struct hf_record *record;
	struct bpf_sock *sk = ctx->sk;
	int *value = ctx->optval;

	if (!is_ours(ctx) || !sk || ctx->optlen < (int)sizeof(*value))
		return pass(ctx);
	record = bpf_sk_storage_get(&hf_sockets, sk, 0, 0);
	if (!record || record->hushed)
		return pass(ctx);
	if ((void *)(value + 1) > ctx->optval_end)
		return pass(ctx);
	return decide(ctx, sk, record, *value);
}
