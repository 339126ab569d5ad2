/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decides which keepalive settings a socket should have, from what the application asked for,
 * the rule and the namespace's sysctls. Nothing here touches a socket, so the BPF programs and
 * the unit tests compile the same code.
 */
#ifndef HOLDFAST_DECIDE_H
#define HOLDFAST_DECIDE_H

#include <stdbool.h>

#include "types.h"

#ifndef HF_INLINE
#define HF_INLINE static inline __attribute__((always_inline))
#endif

/*
 * The hf_if functions return a mask, all ones for yes and 0 for no, with which hf_select()
 * chooses without branching. The verifier walks every path: a dozen branches one after the
 * other are thousands of paths, a dozen masks are one. The empty asms keep the compiler from
 * turning the masks into branches again.
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

/*
 * Returns `value`, or if it is 0 (unset), the sysctl's value limited to 1..`most`, the range
 * that setsockopt() takes.
 */
HF_INLINE __u32 hf_or_sysctl(__u32 value, __u32 sysctl, __u32 most)
{
	sysctl = hf_select(hf_if(sysctl), sysctl, 1);
	return hf_select(hf_if(value), value, hf_select(hf_if_less(sysctl, most), sysctl, most));
}

/*
 * Replaces each 0 (unset) in `want` by the sysctl's value where the socket has the option set
 * now, because setsockopt() can't unset it again.
 */
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
 * Returns whether a connection on which nothing has been received for idle_ms is due for a probe,
 * by a keepalive time that is set, or if that is 0, by the sysctl's.
 */
HF_INLINE __u32 hf_if_overdue(__u32 idle_ms, __u32 time_s, __u32 sysctl_s)
{
	time_s = hf_select(hf_if(time_s), time_s, sysctl_s);
	return ~hf_if_negative((__s64)idle_ms - (__s64)time_s * 1000);
}

/* Takes every option that is set on a socket seen for the first time for the application's. */
HF_INLINE void hf_learn_first(struct hf_record *record, const struct hf_keepalive *now)
{
	record->app = *now;
	record->chosen =
		(__u8)((hf_if(now->on) & HF_CHOSE_ON) | (hf_if(now->time_s) & HF_CHOSE_TIME) |
		       (hf_if(now->interval_s) & HF_CHOSE_INTERVAL) |
		       (hf_if(now->probes) & HF_CHOSE_PROBES) |
		       (hf_if(now->user_timeout_ms) & HF_CHOSE_USER_TIMEOUT));
}

/*
 * Takes every option that differs from record->set for the application's. After a probe
 * (record->probe_end), HF_PROBE_TIME_S is holdfast's own.
 *
 * A new time counts as SO_KEEPALIVE, too, if the socket has it on: applications that set a time
 * after connect() switch keepalive on just before, which leaves no trace where holdfast has it on
 * already. It doesn't count if the record says what the application did about SO_KEEPALIVE: the
 * guard saw that only a time was set, or the option was seen to be set.
 */
HF_INLINE void hf_learn_again(struct hf_record *record, const struct hf_keepalive *now)
{
	const struct hf_keepalive *set = &record->set;
	__u32 ours = hf_if(record->probe_end) & ~hf_if(now->time_s ^ HF_PROBE_TIME_S);
	__u32 on = hf_if(now->on ^ set->on), time = hf_if(now->time_s ^ set->time_s) & ~ours;
	__u32 interval = hf_if(now->interval_s ^ set->interval_s);
	__u32 probes = hf_if(now->probes ^ set->probes);
	__u32 user_timeout = hf_if(now->user_timeout_ms ^ set->user_timeout_ms);
	__u32 switched_on =
		hf_if(now->on) & ~hf_if(record->chosen & (HF_CHOSE_ON | HF_CHOSE_TIME_ONLY));
	struct hf_keepalive app = record->app;

	app.on = hf_select(on | (time & switched_on), now->on, app.on);
	app.time_s = hf_select(time, now->time_s, app.time_s);
	app.interval_s = hf_select(interval, now->interval_s, app.interval_s);
	app.probes = hf_select(probes, now->probes, app.probes);
	app.user_timeout_ms = hf_select(user_timeout, now->user_timeout_ms, app.user_timeout_ms);
	record->app = app;
	record->chosen |= (__u8)((on & HF_CHOSE_ON) | (time & HF_CHOSE_TIME) |
				 (interval & HF_CHOSE_INTERVAL) | (probes & HF_CHOSE_PROBES) |
				 (user_timeout & HF_CHOSE_USER_TIMEOUT));
}

/*
 * Returns all bits set if a probe's time is all that differs from what the last visit left, else 0.
 * Masks, since each branch doubles what the verifier walks.
 */
HF_INLINE __u32 hf_only_probed(const struct hf_record *record, const struct hf_keepalive *now)
{
	const struct hf_keepalive *set = &record->set;
	__u32 others = (now->on ^ set->on) | (now->interval_s ^ set->interval_s) |
		       (now->probes ^ set->probes) | (now->user_timeout_ms ^ set->user_timeout_ms);

	return hf_if(record->probe_end) & ~hf_if(now->time_s ^ HF_PROBE_TIME_S) & ~hf_if(others);
}

/* Decides by the rule's `override` what the socket should have. Fills in want, record->state. */
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
