/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one place that changes a socket: read what is there, learn what the
 * application has asked for, decide by `override`, set, remember. Called when
 * a connection is established (sockops) and by the sweep over existing sockets
 * (TCP iterator). Both run with the socket locked.
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

/* A number can't be unset again: the best that there is, is the sysctl's value. */
HF_INLINE __u32 hf_or_sysctl(__u32 value, __u32 sysctl, __u32 most)
{
	if (value)
		return value;
	return sysctl < most ? sysctl : most;
}

/*
 * Set what differs between `now` and `want`. SO_KEEPALIVE goes first: switching
 * it on arms the timer with a whole keepalive time from now. TCP_KEEPIDLE goes
 * last: on a socket whose keepalive is on it arms the timer again with the time
 * that the connection has idled taken off (tcp_sock_set_keepidle_locked()), so
 * that a connection which is overdue is probed at once. What is equal isn't
 * touched, so that a visit to a socket that needs nothing sends nothing.
 */
HF_INLINE int hf_put(void *ctx, const struct hf_keepalive *now, const struct hf_keepalive *want,
		     const struct hf_keepalive *sysctls)
{
	int err = 0;

	if (now->on != want->on)
		err = hf_option(ctx, SOL_SOCKET, SO_KEEPALIVE, want->on);
	if (!err && now->interval_s != want->interval_s)
		err = hf_option(ctx, SOL_TCP, TCP_KEEPINTVL,
				hf_or_sysctl(want->interval_s, sysctls->interval_s, 32767));
	if (!err && now->probes != want->probes)
		err = hf_option(ctx, SOL_TCP, TCP_KEEPCNT,
				hf_or_sysctl(want->probes, sysctls->probes, 127));
	if (!err && now->user_timeout_ms != want->user_timeout_ms)
		err = hf_option(ctx, SOL_TCP, TCP_USER_TIMEOUT, want->user_timeout_ms);
	if (!err && now->time_s != want->time_s)
		err = hf_option(ctx, SOL_TCP, TCP_KEEPIDLE,
				hf_or_sysctl(want->time_s, sysctls->time_s, 32767));
	return err;
}

/* A socket seen for the first time: all that is set, the application has set. */
HF_INLINE void hf_learn_first(struct hf_record *record, const struct hf_keepalive *now)
{
	record->app = *now;
	record->asked = *now;
	record->chosen = (now->on ? HF_CHOSE_ON : 0) | (now->time_s ? HF_CHOSE_TIME : 0) |
			 (now->interval_s ? HF_CHOSE_INTERVAL : 0) |
			 (now->probes ? HF_CHOSE_PROBES : 0) |
			 (now->user_timeout_ms ? HF_CHOSE_USER_TIMEOUT : 0);
}

/* A socket seen before: what isn't as we left it, the application has set. */
HF_INLINE void hf_learn_again(struct hf_record *record, const struct hf_keepalive *now)
{
	const struct hf_keepalive *set = &record->set;

	if (now->time_s != set->time_s) {
		record->app.time_s = record->asked.time_s = now->time_s;
		record->chosen |= HF_CHOSE_TIME;
		/* Who chooses a time for a keepalive that is on, wants it on. */
		if (now->on)
			record->app.on = record->asked.on = 1;
	}
	if (now->on != set->on) {
		record->app.on = record->asked.on = now->on;
		record->chosen |= HF_CHOSE_ON;
	}
	if (now->interval_s != set->interval_s) {
		record->app.interval_s = record->asked.interval_s = now->interval_s;
		record->chosen |= HF_CHOSE_INTERVAL;
	}
	if (now->probes != set->probes) {
		record->app.probes = record->asked.probes = now->probes;
		record->chosen |= HF_CHOSE_PROBES;
	}
	if (now->user_timeout_ms != set->user_timeout_ms) {
		record->app.user_timeout_ms = record->asked.user_timeout_ms = now->user_timeout_ms;
		record->chosen |= HF_CHOSE_USER_TIMEOUT;
	}
}

/* What the socket is to have, by the rule's `override`. Sets record->state. */
HF_INLINE void hf_decide(struct hf_record *record, const struct hf_rule *rule,
			 const struct hf_keepalive *sysctls, struct hf_keepalive *want)
{
	const struct hf_keepalive *app = &record->app;
	__u32 app_time_s = app->time_s ? app->time_s : sysctls->time_s;
	__u8 chosen = record->chosen;

	record->state = HF_STATE_HELD;
	*want = *app;
	if (rule->override == HF_OVERRIDE_WHEN_LONGER && app->on && app_time_s < rule->time_s) {
		record->state = HF_STATE_OWN;
		return;
	}
	if (rule->override != HF_OVERRIDE_NEVER)
		chosen = 0;
	if (!(chosen & HF_CHOSE_ON))
		want->on = 1;
	if (!(chosen & HF_CHOSE_TIME))
		want->time_s = rule->time_s;
	if (!(chosen & HF_CHOSE_INTERVAL))
		want->interval_s = rule->interval_s;
	if (!(chosen & HF_CHOSE_PROBES))
		want->probes = rule->probes;

	if (!rule->user_timeout_ms || chosen & HF_CHOSE_USER_TIMEOUT)
		return;
	if (rule->override == HF_OVERRIDE_WHEN_LONGER && app->user_timeout_ms &&
	    app->user_timeout_ms < rule->user_timeout_ms)
		return;
	want->user_timeout_ms = rule->user_timeout_ms;
}

/* What is about to happen to a socket: decided, not done. */
struct hf_plan {
	struct hf_keepalive now; /* as found */
	struct hf_keepalive want;
	struct hf_keepalive sysctls;
	bool undone; /* the application had changed what we set */
};

HF_INLINE void hf_plan_begin(struct tcp_sock *tp, struct hf_record *record, bool first,
			     struct hf_plan *plan)
{
	hf_socket_keepalive(tp, &plan->now);
	hf_socket_sysctls(tp, &plan->sysctls);
	plan->undone = !first && !hf_keepalive_equal(&plan->now, &record->set);
	if (first)
		hf_learn_first(record, &plan->now);
	else
		hf_learn_again(record, &plan->now);
}

/* Plan to hold a socket. `record` is its storage, zeroed where `first` is true. */
HF_INLINE void hf_plan_hold(struct tcp_sock *tp, struct hf_record *record,
			    const struct hf_rule *rule, bool first, struct hf_plan *plan)
{
	hf_plan_begin(tp, record, first, plan);
	hf_decide(record, rule, &plan->sysctls, &plan->want);
}

/* Plan to give it back what the application would have had without us. */
HF_INLINE void hf_plan_restore(struct tcp_sock *tp, struct hf_record *record, struct hf_plan *plan)
{
	hf_plan_begin(tp, record, false, plan);
	plan->want = record->app;
}

HF_INLINE bool hf_plan_changes(const struct hf_plan *plan)
{
	return !hf_keepalive_equal(&plan->now, &plan->want);
}

/*
 * Do what was planned. On failure (a kTLS socket refuses SOL_TCP on 6.1) what
 * was set is taken back, as far as the kernel lets us. Negative errno.
 */
HF_INLINE int hf_plan_carry_out(void *ctx, struct tcp_sock *tp, const struct hf_plan *plan)
{
	struct hf_keepalive half;
	int err;

	err = hf_put(ctx, &plan->now, &plan->want, &plan->sysctls);
	if (err) {
		hf_socket_keepalive(tp, &half);
		hf_put(ctx, &half, &plan->now, &plan->sysctls);
	}
	return err;
}

/* Remember under which rule the socket is now, and what it has. */
HF_INLINE void hf_plan_record(struct tcp_sock *tp, struct hf_record *record,
			      const struct hf_rule *rule, const struct hf_plan *plan)
{
	hf_socket_keepalive(tp, &record->set);
	record->rule = rule->index;
	record->rule_key = rule->key;
	record->generation = rule->generation;
	record->rule_time_s = rule->time_s;
	record->rule_override = rule->override;
	record->rule_user_timeout_ms = rule->user_timeout_ms;
	record->sysctl_interval_s = plan->sysctls.interval_s;
	record->sysctl_probes = plan->sysctls.probes;
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
