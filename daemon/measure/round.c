// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/round.h"

#include "base/clock.h"
#include "base/util.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

/* Whoever watches is told so often. */
#define LOOK_MS 1000

/*
 * Reset without being asked: by the path, or by the server, who then does the same to the control.
 * That has had no data for a little longer, so that it is not later by more than this.
 */
#define CONTROL_LATER_MS 2000

/* Of a connection that has idled for so long the kernel sends a probe at once. */
#define PROBED_AT_ONCE_MS 1020

/* An answer that took longer took more than one probe. */
#define LATE_MS 900

/* Clocks that differ by more than before: the machine has slept. */
#define ASLEEP_MS 500

/* How long it has slept since it was started. One clock is read before the other: below 0, too. */
static int64_t asleep_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_BOOTTIME) - clock_ns(CLOCK_MONOTONIC)) / 1000000;
}

static enum round_end end_void(struct round *round, const char *why)
{
	snprintf(round->why, sizeof(round->why), "%s", why);
	return ROUND_VOID;
}

static enum round_end end_closed(struct round *round, const struct subject *subject)
{
	round->closed_ms = subject->data_idle_ms;
	return ROUND_CLOSED;
}

/* ROUND_COUNTS: as far as the control is concerned. */
static int attend_control(struct round *round, struct subject_world *world, struct error *e)
{
	struct subject *control = &round->control;
	int err = subject_attend(control, world, e);

	if (err)
		return err;
	if (control->stage == SUBJECT_SUSPECT) {
		if (control->state == CONNECTION_CLOSED || !control->asked)
			return end_closed(round, control);
		return end_void(round, control->outcome == OUTCOME_RESET
					       ? "the control was reset, too: the server has been "
						 "restarted, or the path was out"
					       : "the control got no answer, either: the path was "
						 "out, or the server was");
	}
	if (control->stage == SUBJECT_DONE) {
		round->proved_ms = control->probed_ms;
		if (control->answer_ms > LATE_MS)
			round->late_ms = control->probed_ms;
		control->stage = SUBJECT_IDLE;
		control->last_ms = control->ended_ms;
	}
	return ROUND_COUNTS;
}

/*
 * Those that are to idle for longer are asked at once: they have idled for as long as this one, and
 * must be forgotten by now unless they took another path.
 */
static void ask_the_others(struct round *round, const struct subject *forgotten)
{
	int64_t now_ms = monotonic_ms();
	size_t i;

	for (i = 0; i < round->n; i++) {
		struct subject *subject = &round->subjects[i];
		uint64_t idle_ms = (uint64_t)(now_ms - subject->last_ms);

		if (subject->gap_ms <= forgotten->gap_ms)
			continue;
		if (subject->stage == SUBJECT_IDLE && idle_ms >= forgotten->idle_ms)
			subject->gap_ms = idle_ms;
		else if (subject->stage <= SUBJECT_IDLE)
			subject->stage = SUBJECT_NEEDLESS;
	}
}

/* Whether the control has said by now what became of it; it is asked if it hasn't. */
static int ask_control(struct round *round, const struct subject *subject, struct error *e)
{
	int64_t from_ms = subject->ended_ms + (subject->asked ? 0 : CONTROL_LATER_MS);

	if (round->proved_ms >= from_ms)
		return 1;
	/* What hasn't idled for a second is probed when it has, and its answer would seem late. */
	if (round->control.stage != SUBJECT_IDLE || monotonic_ms() < from_ms ||
	    monotonic_ms() - round->control.last_ms < PROBED_AT_ONCE_MS)
		return 0;
	return subject_probe(&round->control, e);
}

static int judge(struct round *round, struct subject *subject, struct error *e)
{
	int said;

	if (subject->stage != SUBJECT_SUSPECT)
		return ROUND_COUNTS;
	if (subject->state == CONNECTION_CLOSED)
		return end_closed(round, subject);
	said = ask_control(round, subject, e);
	if (said <= 0)
		return said;
	subject->stage = SUBJECT_DONE;
	if (subject->outcome == OUTCOME_SILENCE && round->late_ms > 0 &&
	    round->late_ms >= subject->probed_ms - SUBJECT_ANSWER_MS) {
		subject->outcome = OUTCOME_VOID;
		snprintf(subject->why, sizeof(subject->why),
			 "it got no answer, but the control got one late: packets were lost");
	} else {
		ask_the_others(round, subject);
	}
	return ROUND_COUNTS;
}

static int start_subjects(struct round *round, struct subject_world *world, struct error *e)
{
	size_t i;
	int err = 0;

	round->started = true;
	for (i = 0; !err && i < round->n; i++)
		err = subject_start(&round->subjects[i], world, e);
	return err;
}

static bool is_over(const struct round *round)
{
	size_t i;

	for (i = 0; i < round->n; i++) {
		if (round->subjects[i].stage < SUBJECT_DONE)
			return false;
	}
	return true;
}

/* One look at everything. Positive: it has ended so. */
static int attend(struct round *round, struct subject_world *world, const struct round_watch *watch,
		  struct error *e)
{
	char why[128];
	size_t i;
	int ret;

	ret = attend_control(round, world, e);
	if (!ret && !round->started && round->control.stage != SUBJECT_STARTING)
		ret = start_subjects(round, world, e);
	for (i = 0; !ret && round->started && i < round->n; i++) {
		struct subject *subject = &round->subjects[i];
		enum subject_stage before = subject->stage;

		ret = subject_attend(subject, world, e);
		if (!ret)
			ret = judge(round, subject, e);
		if (subject->stage == SUBJECT_DONE && before != SUBJECT_DONE)
			watch->finding(subject, watch->arg);
	}
	if (!ret && asleep_ms() > round->asleep_ms + ASLEEP_MS) {
		snprintf(why, sizeof(why), "the machine was suspended for %.0f s",
			 (double)(asleep_ms() - round->asleep_ms) / 1000);
		ret = end_void(round, why);
	}
	return ret;
}

/* Until somebody wants to be attended, or their connection has something to say. */
static void wait_for_something(const struct round *round, int signals, int64_t until_ms)
{
	struct pollfd fds[2 * ROUNDS_CONNECTIONS_MAX + 4];
	int64_t now_ms = monotonic_ms(), next_ms;
	nfds_t n = 0;
	size_t i;

	fds[n++] = (struct pollfd){.fd = signals, .events = POLLIN};
	for (i = 0; i <= round->n; i++) {
		const struct subject *subject = i ? &round->subjects[i - 1] : &round->control;

		next_ms = subject_next_ms(subject);
		if (subject->stage == SUBJECT_SUSPECT)
			next_ms = subject_next_ms(&round->control);
		if (subject->client.pid && next_ms < until_ms)
			until_ms = next_ms;
		if (subject->stage == SUBJECT_IDLE || subject->stage == SUBJECT_PROBING)
			fds[n++] = (struct pollfd){.fd = subject->fd, .events = POLLRDHUP};
		if (subject->client.output >= 0)
			fds[n++] = (struct pollfd){.fd = subject->client.output, .events = POLLIN};
	}
	poll(fds, n, until_ms > now_ms ? (int)(until_ms - now_ms) : 0);
}

bool round_interrupted(int signals)
{
	struct signalfd_siginfo info;
	bool interrupted = false;

	while (read(signals, &info, sizeof(info)) == sizeof(info))
		interrupted |= info.ssi_signo != SIGCHLD;
	return interrupted;
}

int round_run(struct round *round, struct subject_world *world, uint64_t control_ms,
	      const uint64_t *gaps, size_t n, int signals, const struct round_watch *watch,
	      struct error *e)
{
	int64_t look_ms = 0, now_ms;
	size_t i;
	int ret;

	*round = (struct round){.control = SUBJECT_INIT, .n = n, .asleep_ms = asleep_ms()};
	round->control.control = true;
	round->control.gap_ms = control_ms;
	for (i = 0; i < n; i++) {
		round->subjects[i] = (struct subject)SUBJECT_INIT;
		round->subjects[i].gap_ms = gaps[i];
	}
	ret = subject_start(&round->control, world, e);
	while (!ret) {
		ret = attend(round, world, watch, e);
		if (ret || is_over(round))
			break;
		now_ms = monotonic_ms();
		if (now_ms >= look_ms) {
			watch->look(watch->arg);
			look_ms = now_ms + LOOK_MS;
		}
		wait_for_something(round, signals, look_ms);
		if (round_interrupted(signals))
			ret = ROUND_INTERRUPTED;
	}
	watch->look(watch->arg);
	return ret;
}

void round_stop(struct round *round)
{
	struct subject *all = &round->control;

	_Static_assert(offsetof(struct round, subjects) ==
			       offsetof(struct round, control) + sizeof(struct subject),
		       "the control is the first of them");
	subjects_end(all, round->n + 1);
}

size_t round_outcomes(const struct round *round, bool all, struct idled *idled)
{
	int64_t now_ms = monotonic_ms();
	size_t i, n = 0;

	for (i = 0; i < round->n; i++) {
		const struct subject *subject = &round->subjects[i];

		if (subject->stage == SUBJECT_DONE)
			idled[n++] = (struct idled){subject->idle_ms, subject->outcome};
		else if (all && subject->stage == SUBJECT_IDLE)
			idled[n++] =
				(struct idled){(uint64_t)(now_ms - subject->last_ms), OUTCOME_VOID};
		else if (all && subject->stage >= SUBJECT_PROBING &&
			 subject->stage <= SUBJECT_SUSPECT)
			idled[n++] = (struct idled){subject->idle_ms, OUTCOME_VOID};
	}
	return n;
}
