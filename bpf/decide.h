/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a socket is to have: from what the application asked for, what the rule
 * says and what the namespace says. Pure: nothing here touches a socket, so that
 * it is compiled into the BPF programs and natively into the unit tests alike.
 */
#ifndef HOLDFAST_DECIDE_H
#define HOLDFAST_DECIDE_H

#include <stdbool.h>

#include "types.h"

#ifndef HF_INLINE
#define HF_INLINE static inline __attribute__((always_inline))
#endif

/*
 * Choosing without branching. The verifier walks every path, and a dozen choices
 * one after the other are thousands of paths; a mask (all ones: yes; 0: no) is
 * one. The empty asms keep the compiler from making branches of it again.
 */
HF_INLINE __u32 hf_if_negative(__s64 value)
{
	asm volatile("" : "+r"(value));
	value >>= 63;
	asm volatile("" : "+r"(value));
	return (__u32)value;
}

HF_INLINE __u32 hf_if(__u32 value)
{
	return hf_if_negative(0 - (__s64)value);
}

HF_INLINE __u32 hf_if_less(__u32 a, __u32 b)
{
	return hf_if_negative((__s64)a - (__s64)b);
}

HF_INLINE __u32 hf_select(__u32 mask, __u32 yes, __u32 no)
{
	return (yes & mask) | (no & ~mask);
}

HF_INLINE bool hf_keepalive_equal(const struct hf_keepalive *a, const struct hf_keepalive *b)
{
	__u32 differ = (a->on ^ b->on) | (a->time_s ^ b->time_s) | (a->interval_s ^ b->interval_s) |
		       (a->probes ^ b->probes) | (a->user_timeout_ms ^ b->user_timeout_ms);

	return !differ;
}

/* What is to be unset and can't be, gets the sysctl's value, as far as it may be set: not 0. */
HF_INLINE __u32 hf_or_sysctl(__u32 value, __u32 sysctl, __u32 most)
{
	sysctl = hf_select(hf_if(sysctl), sysctl, 1);
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

/* A socket seen for the first time: all that is set, the application has set. */
HF_INLINE void hf_learn_first(struct hf_record *record, const struct hf_keepalive *now)
{
	record->app = *now;
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

	/* Unseen by the guard, who chooses a time for a keepalive that is on, wants it on. */
	app.on = hf_select(on | (time & hf_if(now->on)), now->on, app.on);
	app.time_s = hf_select(time, now->time_s, app.time_s);
	app.interval_s = hf_select(interval, now->interval_s, app.interval_s);
	app.probes = hf_select(probes, now->probes, app.probes);
	app.user_timeout_ms = hf_select(user_timeout, now->user_timeout_ms, app.user_timeout_ms);
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
	__u32 on = hf_if(app.on) | hf_if(record->chosen & HF_CHOSE_TIME_ONLY);
	__u32 own = when_longer & on & hf_if_less(app_time_s, rule->time_s);
	__u32 never = ~hf_if(rule->override ^ HF_OVERRIDE_NEVER);
	__u32 chosen = record->chosen & never, shorter;

	want->on = hf_select(hf_if(chosen & HF_CHOSE_ON), app.on, 1);
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

#endif
