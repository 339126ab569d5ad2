// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard: what an application asks of a socket that is held already. It is
 * attached to cgroup/setsockopt, and only while some rule needs it. The kernel
 * locks the socket while it runs.
 *
 * Three outcomes, all of them success for the application:
 *   pass      the kernel does what was asked
 *   swallow   nothing happens (optlen -1 bypasses the kernel)
 *   own       under when-longer, an application that chooses a keepalive time
 *             shorter than the rule's gets all of its own settings
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

/* Put value where the option belongs. False: the kernel is going to refuse it. */
HF_INLINE bool ask(struct hf_keepalive *asked, const struct bpf_sockopt *ctx, int value)
{
	if (ctx->level == SOL_SOCKET) {
		asked->on = value != 0;
		return true;
	}
	if (value < 0 || (!value && ctx->optname != TCP_USER_TIMEOUT))
		return false;
	switch (ctx->optname) {
	case TCP_KEEPIDLE:
		if (value > 32767)
			return false;
		asked->time_s = (__u32)value;
		asked->on = 1; /* who chooses a time for a keepalive that is on, wants it on */
		return true;
	case TCP_KEEPINTVL:
		if (value > 32767)
			return false;
		asked->interval_s = (__u32)value;
		return true;
	case TCP_KEEPCNT:
		if (value > 127)
			return false;
		asked->probes = (__u32)value;
		return true;
	}
	asked->user_timeout_ms = (__u32)value;
	return true;
}

/* Whether the application's own keepalive fires sooner than the rule's. */
HF_INLINE bool sooner(const struct hf_record *record, const struct hf_keepalive *asked)
{
	return asked->on && asked->time_s && asked->time_s < record->rule_time_s;
}

/*
 * From held to own: the three values that the application has asked for, also
 * those that were swallowed before it chose its time, and the namespace's where
 * it has asked for none. The kernel sets what it asks for now after us.
 */
HF_INLINE int become_own(struct bpf_sockopt *ctx, struct hf_record *record)
{
	const struct hf_keepalive *asked = &record->asked;
	__u32 interval_s = hf_or_sysctl(asked->interval_s, record->sysctl_interval_s, 32767);
	__u32 probes = hf_or_sysctl(asked->probes, record->sysctl_probes, 127);
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return pass(ctx);
	record->app = *asked;
	record->state = HF_STATE_OWN;
	if (!hf_guard_sets) {
		if (ctx->level == SOL_TCP) /* this is what the kernel sets now */
			record->set.time_s = asked->time_s;
		record->generation = 0; /* the next pass sets the rest */
		return pass(ctx);
	}
	if (interval_s != record->set.interval_s &&
	    !hf_option(sk, SOL_TCP, TCP_KEEPINTVL, interval_s))
		record->set.interval_s = interval_s;
	if (probes != record->set.probes && !hf_option(sk, SOL_TCP, TCP_KEEPCNT, probes))
		record->set.probes = probes;
	if (asked->time_s != record->set.time_s &&
	    !hf_option(sk, SOL_TCP, TCP_KEEPIDLE, asked->time_s))
		record->set.time_s = asked->time_s;
	return pass(ctx);
}

/* Whether a TCP_USER_TIMEOUT may take effect. */
HF_INLINE bool user_timeout_stands(const struct hf_record *record, __u32 value)
{
	if (!record->rule_user_timeout_ms || record->state == HF_STATE_OWN)
		return true;
	return record->rule_override == HF_OVERRIDE_WHEN_LONGER && value &&
	       value <= record->rule_user_timeout_ms;
}

/* The application switches on what is on already: so it stays when it is given back. */
HF_INLINE int switch_on(struct bpf_sockopt *ctx, struct hf_record *record)
{
	record->app.on = 1;
	return pass(ctx);
}

HF_INLINE int decide(struct bpf_sockopt *ctx, struct hf_record *record, int value)
{
	struct hf_keepalive asked = record->asked;

	if (!ask(&asked, ctx, value))
		return pass(ctx);
	if (ctx->level == SOL_TCP && ctx->optname == TCP_USER_TIMEOUT) {
		if (!user_timeout_stands(record, asked.user_timeout_ms))
			return swallow(ctx, record);
		record->asked = asked;
		record->app.user_timeout_ms = asked.user_timeout_ms;
		record->set.user_timeout_ms = asked.user_timeout_ms;
		return pass(ctx);
	}
	if (record->rule_override == HF_OVERRIDE_ALWAYS) {
		if (ctx->level == SOL_SOCKET && asked.on)
			return switch_on(ctx, record);
		return swallow(ctx, record);
	}

	/* when-longer */
	if (record->state == HF_STATE_OWN) {
		if (!sooner(record, &asked))
			return swallow(ctx, record);
		record->asked = record->app = asked;
		ask(&record->set, ctx, value);
		return pass(ctx);
	}
	record->asked = asked;
	if (sooner(record, &asked) && (ctx->level == SOL_SOCKET || ctx->optname == TCP_KEEPIDLE))
		return become_own(ctx, record);
	if (ctx->level == SOL_SOCKET && asked.on)
		return switch_on(ctx, record);
	return swallow(ctx, record);
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
	if (!record || record->rule_override == HF_OVERRIDE_NEVER)
		return pass(ctx);
	if ((void *)(value + 1) > ctx->optval_end)
		return pass(ctx);
	return decide(ctx, record, *value);
}
