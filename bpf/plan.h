/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From what a socket has to what it is to have: learn what the application has
 * asked for, decide by `override`, set, remember. The one place that changes a
 * socket; compiled into the BPF programs (apply.h) and natively into the daemon
 * (adopt.c), for kernels whose iterators can't set options.
 *
 * Whoever includes this defines first
 *
 *   HF_OPTION(ctx, level, option, value)  sets an option; 0 or negative errno
 *   HF_READ(socket, keepalive)            reads what the socket has
 */
#ifndef HOLDFAST_PLAN_H
#define HOLDFAST_PLAN_H

#include "decide.h"

/*
 * Set what differs between `now` and `want`. On a connection that may have idled,
 * SO_KEEPALIVE goes first: switching it on arms the timer with a whole keepalive
 * time from now. TCP_KEEPIDLE goes last: on a socket whose keepalive is on it arms
 * the timer again with the time that the connection has idled taken off
 * (tcp_sock_set_keepidle_locked()), so that a connection which is overdue is probed
 * at once; after switching on it is set even if it is the same.
 *
 * One that was established just now (`fresh`) hasn't idled: there SO_KEEPALIVE goes
 * last, and the timer is armed once and not twice.
 *
 * What else is equal isn't touched, so that a visit to a socket that needs nothing
 * sends nothing.
 */
HF_INLINE int hf_put(void *ctx, const struct hf_keepalive *now, const struct hf_keepalive *want,
		     bool fresh)
{
	__u32 on = now->on ^ want->on;
	__u32 time = hf_if(now->time_s ^ want->time_s) |
		     (hf_if(!fresh) & hf_if(want->time_s) & hf_if(want->on) & ~hf_if(now->on));
	int err = 0;

	if (!fresh && on)
		err = HF_OPTION(ctx, SOL_SOCKET, SO_KEEPALIVE, want->on);
	if (!err && now->interval_s != want->interval_s)
		err = HF_OPTION(ctx, SOL_TCP, TCP_KEEPINTVL, want->interval_s);
	if (!err && now->probes != want->probes)
		err = HF_OPTION(ctx, SOL_TCP, TCP_KEEPCNT, want->probes);
	if (!err && now->user_timeout_ms != want->user_timeout_ms)
		err = HF_OPTION(ctx, SOL_TCP, TCP_USER_TIMEOUT, want->user_timeout_ms);
	if (!err && time)
		err = HF_OPTION(ctx, SOL_TCP, TCP_KEEPIDLE, want->time_s);
	if (!err && fresh && on)
		err = HF_OPTION(ctx, SOL_SOCKET, SO_KEEPALIVE, want->on);
	return err;
}

/* What is about to happen to a socket: decided, not done. */
struct hf_plan {
	struct hf_keepalive now;     /* as found: the caller fills it in... */
	struct hf_keepalive sysctls; /* ...and this */
	struct hf_keepalive want;
	bool undone; /* the application had changed what we set */
};

HF_INLINE void hf_plan_learn(struct hf_plan *plan, struct hf_record *record, bool first)
{
	plan->undone = !first && !hf_keepalive_equal(&plan->now, &record->set);
	if (first)
		hf_learn_first(record, &plan->now);
	else
		hf_learn_again(record, &plan->now);
}

/* Plan to hold a socket. `record` is its storage, undecided where `first` is true. */
HF_INLINE void hf_plan_hold(struct hf_plan *plan, struct hf_record *record,
			    const struct hf_rule *rule, bool first)
{
	hf_plan_learn(plan, record, first);
	hf_decide(record, rule, &plan->sysctls, &plan->want);
	hf_unset(&plan->want, &plan->now, &plan->sysctls);
}

/* Plan to give it back what the application would have without us. */
HF_INLINE void hf_plan_restore(struct hf_plan *plan, struct hf_record *record)
{
	hf_plan_learn(plan, record, false);
	plan->want = record->app;
	hf_unset(&plan->want, &plan->now, &plan->sysctls);
}

HF_INLINE bool hf_plan_changes(const struct hf_plan *plan)
{
	return !hf_keepalive_equal(&plan->now, &plan->want);
}

/*
 * Do what was planned; `fresh`: see hf_put(). On failure (a kTLS socket refuses SOL_TCP on 6.1)
 * what was set is taken back, as far as the kernel lets us. Negative errno.
 */
HF_INLINE int hf_plan_carry_out(void *ctx, void *socket, const struct hf_plan *plan, bool fresh)
{
	struct hf_keepalive half, back = plan->now;
	int err;

	err = hf_put(ctx, &plan->now, &plan->want, fresh);
	if (err) {
		HF_READ(socket, &half);
		hf_unset(&back, &half, &plan->sysctls);
		hf_put(ctx, &half, &back, false);
	}
	return err;
}

/*
 * Remember under which rule the socket is now, and what decided: what it has (record->set),
 * and which end of it we are (side and opener), are the caller's.
 */
HF_INLINE void hf_plan_record(const struct hf_plan *plan, struct hf_record *record,
			      const struct hf_rule *rule)
{
	record->probing = 0;
	record->hushed = 0;
	record->rule = rule->index;
	record->rule_key = rule->key;
	record->generation = rule->generation;
	record->rule_time_s = rule->time_s;
	record->rule_interval_s = rule->interval_s;
	record->rule_probes = rule->probes;
	record->rule_override = rule->override;
	record->rule_user_timeout_ms = rule->user_timeout_ms;
	record->sysctl_time_s = plan->sysctls.time_s;
	record->sysctl_interval_s = plan->sysctls.interval_s;
	record->sysctl_probes = plan->sysctls.probes;
}

#endif
