/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes a socket from the settings that it has to those that it should have: learns what the
 * application has asked for, decides by `override`, sets the options and remembers them in the
 * record. The BPF programs compile it (apply.h), and for kernels whose iterators can't set
 * options so does the daemon (daemon/sockets/old/).
 *
 * A file that carries plans out defines before it includes this one
 *
 *   HF_OPTION(ctx, level, option, value)  sets an option; returns 0 or negative errno
 *   HF_READ(socket, keepalive)            reads the socket's settings
 *
 * A file that only makes plans, as `holdfast preview` does, defines neither.
 */
#ifndef HOLDFAST_PLAN_H
#define HOLDFAST_PLAN_H

#include "decide.h"

#ifdef HF_OPTION
/*
 * Sets the options that differ between `now` and `want`. Returns 0 or negative errno.
 *
 * On a connection that may have idled, SO_KEEPALIVE comes first: switching it on arms the timer
 * with a whole keepalive time from now. TCP_KEEPIDLE comes last: on a socket whose keepalive is
 * on it arms the timer again, less the time that the connection has idled
 * (tcp_sock_set_keepidle_locked()), and so has an overdue connection probed at once. For that
 * reason it is set after switching keepalive on even if its value stays the same.
 *
 * A connection that was established just now (`fresh`) hasn't idled. There SO_KEEPALIVE comes
 * last, so that the timer is armed once and not twice.
 *
 * Other options that are equal stay untouched, so that visiting a socket which needs no change
 * causes no packet.
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
#endif

/* A change to a socket that is decided but not carried out yet. */
struct hf_plan {
	struct hf_keepalive now;     /* as found; the caller fills it in */
	struct hf_keepalive sysctls; /* of the socket's namespace; the caller fills it in */
	struct hf_keepalive want;
	bool undone;	/* the application has changed what the last visit set */
	bool postponed; /* the user timeout is left for a later visit */
};

HF_INLINE void hf_plan_learn(struct hf_plan *plan, struct hf_record *record, bool first)
{
	plan->undone = !first && !hf_keepalive_equal(&plan->now, &record->set);
	if (first)
		hf_learn_first(record, &plan->now);
	else
		hf_learn_again(record, &plan->now);
}

/* Plans to hold a socket by a rule. If `first` is true, nothing was decided on its record yet. */
HF_INLINE void hf_plan_hold(struct hf_plan *plan, struct hf_record *record,
			    const struct hf_rule *rule, bool first)
{
	hf_plan_learn(plan, record, first);
	hf_decide(record, rule, &plan->sysctls, &plan->want);
	hf_unset(&plan->want, &plan->now, &plan->sysctls);
	plan->postponed = false;
}

/*
 * Leaves a user timeout that is new, or shorter than the socket's, for a later visit if the
 * connection is overdue for a probe. Nothing has been received on it for idle_ms.
 *
 * The kernel compares the user timeout with the time since a packet was received, once a probe is
 * unanswered (tcp_keepalive_timer()). hf_put() has an overdue connection probed at once. If it has
 * idled for longer than the user timeout, the loss of this one probe would end it.
 */
HF_INLINE void hf_plan_postpone(struct hf_plan *plan, __u32 idle_ms)
{
	struct hf_keepalive *want = &plan->want;
	/* Subtracting 1 makes 0, no timeout, the longest one. */
	__u32 shorter = hf_if_less(want->user_timeout_ms - 1, plan->now.user_timeout_ms - 1);
	__u32 postpone = shorter & hf_if(want->on) &
			 hf_if_overdue(idle_ms, want->time_s, plan->sysctls.time_s);

	want->user_timeout_ms =
		hf_select(postpone, plan->now.user_timeout_ms, want->user_timeout_ms);
	plan->postponed = postpone & 1;
}

/* Plans to give a socket back the settings that the application would have without holdfast. */
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

#ifdef HF_OPTION
/*
 * Carries out a plan; `fresh` is that of hf_put(). Returns 0 or negative errno. On failure (a
 * kTLS socket refuses SOL_TCP on 6.1) it tries to take back the options that it has set.
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
#endif

/* Remembers which end this host is under the rule that decided, and the port that it names. */
HF_INLINE void hf_record_end(struct hf_record *record, enum hf_side side, __u16 local_port,
			     __u16 peer_port)
{
	record->side = (__u8)side;
	record->port = (__u16)hf_select(hf_if(side), local_port, peer_port);
}

/*
 * Remembers the rule and the sysctls that decided on the socket. The caller fills in record->set
 * and record->opener, and calls hf_record_end().
 */
HF_INLINE void hf_plan_record(const struct hf_plan *plan, struct hf_record *record,
			      const struct hf_rule *rule)
{
	record->probe_end = 0;
	record->hushed = 0;
	record->postponed = plan->postponed;
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
