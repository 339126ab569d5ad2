// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard keeps applications from undoing what a rule enforces on a held socket. It is attached
 * to cgroup/setsockopt, and only while some rule needs it. The kernel locks the socket while it
 * runs.
 *
 * The guard remembers in the record what the application asks for, and decides again what the
 * socket should have. There are two outcomes, both a success for the application:
 *   pass      the socket should have what is asked for: the kernel sets it
 *   swallow   it should not: the kernel sets nothing (optlen -1 bypasses it)
 * With either one the guard may set the socket's other options: under when-longer, an application
 * that chooses a keepalive time shorter than the rule's gets all of its own settings.
 *
 * A sweep may come between the guard and the kernel's own setting of the option, which locks the
 * socket again. It then finds the old value, and takes that for the application's last wish. The
 * next pass finds the new value, with which the socket and its record are right again.
 */
#include "apply.h"

/*
 * Lets the kernel carry out the call. BPF sees only the first page of a longer value, and some
 * kernels refuse such a call with EFAULT unless a program sets optlen to 0, which stands for the
 * caller's own buffer. A shorter value keeps what other programs on the hook made of it.
 */
HF_INLINE int pass(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > (long)ctx->optval_end - (long)ctx->optval)
		ctx->optlen = 0;
	return 1;
}

/* Keeps the kernel from carrying out the call, which succeeds all the same, and counts it. */
HF_INLINE int swallow(struct bpf_sockopt *ctx, struct hf_record *record)
{
	__u64 key = record->rule_key;
	struct hf_counters *counters = bpf_map_lookup_elem(&hf_counters, &key);

	if (counters)
		counters->guarded++;
	ctx->optlen = -1;
	return 1;
}

/* bpf_get_retval() by its number. The suffix is not part of its name in the kernel's BTF. */
enum bpf_func_id___retval {
	BPF_FUNC_get_retval___retval = 186,
};

/*
 * Returns whether a program that ran before the guard has refused the call. Those of cgroups
 * further down run first. The kernel tells since 5.18.
 */
HF_INLINE bool is_refused(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id___retval,
					  BPF_FUNC_get_retval___retval) &&
	       bpf_get_retval();
}

HF_INLINE bool is_ours(const struct bpf_sockopt *ctx)
{
	if (ctx->level == SOL_SOCKET)
		return ctx->optname == SO_KEEPALIVE;
	return ctx->level == SOL_TCP &&
	       (ctx->optname == TCP_KEEPIDLE || ctx->optname == TCP_KEEPINTVL ||
		ctx->optname == TCP_KEEPCNT || ctx->optname == TCP_USER_TIMEOUT);
}

/*
 * Puts the value that is asked for into the option's member of `asked`. Returns its HF_CHOSE_*
 * bit, or 0 if the kernel is going to refuse the value.
 */
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

/* Takes the rule that decided last, and the namespace's sysctls, from the record's copies. */
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

/* Sets an option unless the socket has that value already. Returns false if it can't be set. */
HF_INLINE bool put(struct bpf_sock *sk, int level, int option, __u32 *set, __u32 want)
{
	if (*set == want)
		return true;
	if (!hf_guard_sets || hf_option(sk, level, option, want))
		return false;
	*set = want;
	return true;
}

/*
 * Sets what differs from `want`, in the order of hf_put(). record->set already has the value that
 * the kernel is going to set after the guard.
 */
HF_INLINE void put_all(struct bpf_sock *sk, struct hf_record *record,
		       const struct hf_keepalive *want)
{
	struct hf_keepalive *set = &record->set;
	bool done = put(sk, SOL_SOCKET, SO_KEEPALIVE, &set->on, want->on);

	done &= put(sk, SOL_TCP, TCP_KEEPINTVL, &set->interval_s, want->interval_s);
	done &= put(sk, SOL_TCP, TCP_KEEPCNT, &set->probes, want->probes);
	if (!record->postponed)
		done &= put(sk, SOL_TCP, TCP_USER_TIMEOUT, &set->user_timeout_ms,
			    want->user_timeout_ms);
	done &= put(sk, SOL_TCP, TCP_KEEPIDLE, &set->time_s, want->time_s);
	if (!done)
		record->generation = 0; /* leaves it to the next reconcile pass */
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
	if (!record || record->hushed || record->left_alone || is_refused())
		return pass(ctx);
	if ((void *)(value + 1) > ctx->optval_end)
		return pass(ctx);
	return decide(ctx, sk, record, *value);
}
