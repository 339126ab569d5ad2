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

/* What is to be unset and can't be, gets the sysctl's value, as far as it may be set. */
HF_INLINE __u32 hf_or_sysctl(__u32 value, __u32 sysctl, __u32 most)
{
	return hf_select(hf_if(value), value, hf_select(hf_if_less(sysctl, most), sysctl, most));
}

HF_INLINE void hf_unset(struct hf_keepalive *want, const struct hf_keepalive *now,
			const struct hf_keepalive *sysctls)
{
	want->time_s = hf_select(hf_if(now->time_s),
				 hf_or_sysctl(want->time_s, sysctls->time_s, 32767), want->time_s);
	want->interval_s = hf_select(hf_if(now->interval_s),
				     hf_or_sysctl(want->interval_s, sysctls->interval_s, 32767),
				     want->interval_s);
	want->probes = hf_select(hf_if(now->probes),
				 hf_or_sysctl(want->probes, sysctls->probes, 127), want->probes);
}

/*
 * Set what differs between `now` and `want`. SO_KEEPALIVE goes first: switching
 * it on arms the timer with a whole keepalive time from now. TCP_KEEPIDLE goes
 * last: on a socket whose keepalive is on it arms the timer again with the time
 * that the connection has idled taken off (tcp_sock_set_keepidle_locked()), so
 * that a connection which is overdue is probed at once; after switching on it is
 * set even if it is the same. What else is equal isn't touched, so that a visit
 * to a socket that needs nothing sends nothing.
 */
HF_INLINE int hf_put(void *ctx, const struct hf_keepalive *now, const struct hf_keepalive *want)
{
	__u32 time;
	int err = 0;

	if (now->on != want->on)
		err = hf_option(ctx, SOL_SOCKET, SO_KEEPALIVE, want->on);
	if (!err && now->interval_s != want->interval_s)
		err = hf_option(ctx, SOL_TCP, TCP_KEEPINTVL, want->interval_s);
	if (!err && now->probes != want->probes)
		err = hf_option(ctx, SOL_TCP, TCP_KEEPCNT, want->probes);
	if (!err && now->user_timeout_ms != want->user_timeout_ms)
		err = hf_option(ctx, SOL_TCP, TCP_USER_TIMEOUT, want->user_timeout_ms);
	time = hf_if(now->time_s ^ want->time_s) |
	       (hf_if(want->time_s) & hf_if(want->on) & ~hf_if(now->on));
	if (!err && time)
		err = hf_option(ctx, SOL_TCP, TCP_KEEPIDLE, want->time_s);
	return err;
}

/* A socket seen for the first time: all that is set, the application has set. */
HF_INLINE void hf_learn_first(struct hf_record *record, const struct hf_keepalive *now)
{
	record->app = *now;
	record->asked = *now;
	record->chosen =
		(__u8)((hf_if(now->on) & HF_CHOSE_ON) | (hf_if(now->time_s) & HF_CHOSE_TIME) |
		       (hf_if(now->interval_s) & HF_CHOSE_INTERVAL) |
		       (hf_if(now->probes) & HF_CHOSE_PROBES) |
		       (hf_if(now->user_timeout_ms) & HF_CHOSE_USER_TIMEOUT));
}

/* A socket seen before: what isn't as we left it, the application has set. */
HF_INLINE void hf_learn_again(struct hf_record *record, const struct hf_keepalive *now)
{
	const struct hf_keepalive *set = &record->set;
	__u32 ours = hf_if(record->probing) & ~hf_if(now->time_s ^ HF_PROBE_TIME_S);
	__u32 on = hf_if(now->on ^ set->on), time = hf_if(now->time_s ^ set->time_s) & ~ours;
	__u32 interval = hf_if(now->interval_s ^ set->interval_s);
	__u32 probes = hf_if(now->probes ^ set->probes);
	__u32 user_timeout = hf_if(now->user_timeout_ms ^ set->user_timeout_ms);
	struct hf_keepalive app = record->app;

	/* Who chooses a time for a keepalive that is on, wants it on. */
	app.on = hf_select(on | (time & hf_if(now->on)), now->on, app.on);
	app.time_s = hf_select(time, now->time_s, app.time_s);
	app.interval_s = hf_select(interval, now->interval_s, app.interval_s);
	app.probes = hf_select(probes, now->probes, app.probes);
	app.user_timeout_ms = hf_select(user_timeout, now->user_timeout_ms, app.user_timeout_ms);
	/* What the guard kept back is forgotten once something got past it. */
	if (on | time | interval | probes | user_timeout)
		record->asked = app;
	record->app = app;
	record->chosen |= (__u8)((on & HF_CHOSE_ON) | (time & HF_CHOSE_TIME) |
				 (interval & HF_CHOSE_INTERVAL) | (probes & HF_CHOSE_PROBES) |
				 (user_timeout & HF_CHOSE_USER_TIMEOUT));
}

/* What the socket is to have, by the rule's `override`. Sets record->state. */
HF_INLINE void hf_decide(struct hf_record *record, const struct hf_rule *rule,
			 const struct hf_keepalive *sysctls, struct hf_keepalive *want)
{
	const struct hf_keepalive app = record->app;
	__u32 app_time_s = hf_select(hf_if(app.time_s), app.time_s, sysctls->time_s);
	__u32 when_longer = ~hf_if(rule->override ^ HF_OVERRIDE_WHEN_LONGER);
	__u32 own = when_longer & hf_if(app.on) & hf_if_less(app_time_s, rule->time_s);
	__u32 never = ~hf_if(rule->override ^ HF_OVERRIDE_NEVER);
	__u32 chosen = record->chosen & never, shorter;

	want->on = hf_select(own | hf_if(chosen & HF_CHOSE_ON), app.on, 1);
	want->time_s = hf_select(own | hf_if(chosen & HF_CHOSE_TIME), app.time_s, rule->time_s);
	want->interval_s = hf_select(own | hf_if(chosen & HF_CHOSE_INTERVAL), app.interval_s,
				     rule->interval_s);
	want->probes = hf_select(own | hf_if(chosen & HF_CHOSE_PROBES), app.probes, rule->probes);
	shorter = when_longer & hf_if(app.user_timeout_ms) &
		  hf_if_less(app.user_timeout_ms, rule->user_timeout_ms);
	want->user_timeout_ms = hf_select(own | ~hf_if(rule->user_timeout_ms) | shorter |
						  hf_if(chosen & HF_CHOSE_USER_TIMEOUT),
					  app.user_timeout_ms, rule->user_timeout_ms);
	record->state = (__u8)hf_select(own, HF_STATE_OWN, HF_STATE_HELD);
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
	hf_unset(&plan->want, &plan->now, &plan->sysctls);
}

/* Plan to give it back what the application would have had without us. */
HF_INLINE void hf_plan_restore(struct tcp_sock *tp, struct hf_record *record, struct hf_plan *plan)
{
	hf_plan_begin(tp, record, false, plan);
	plan->want = record->app;
	hf_unset(&plan->want, &plan->now, &plan->sysctls);
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
	struct hf_keepalive half, back = plan->now;
	int err;

	err = hf_put(ctx, &plan->now, &plan->want);
	if (err) {
		hf_socket_keepalive(tp, &half);
		hf_unset(&back, &half, &plan->sysctls);
		hf_put(ctx, &half, &back);
	}
	return err;
}

/* Remember under which rule the socket is now, and what it has. */
HF_INLINE void hf_plan_record(struct tcp_sock *tp, struct hf_record *record,
			      const struct hf_rule *rule, const struct hf_plan *plan)
{
	hf_socket_keepalive(tp, &record->set);
	record->probing = 0;
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
