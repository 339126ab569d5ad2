// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/run.h"

#include "base/clock.h"
#include "base/util.h"

#include <poll.h>
#include <stdio.h>

/* The server's own timeout closes after about the same time each time: within a tenth, or this. */
#define CLOSED_ALIKE_MS 2500

/* Before a round is made again: what was out may take some time to come back. */
static const int pauses_s[ROUNDS_AGAIN_MAX] = {5, 30, 60};

static void look(void *arg)
{
	const struct measure *measure = arg;

	measure->watch->look(measure, measure->watch->arg);
}

static void finding(const struct subject *subject, void *arg)
{
	const struct measure *measure = arg;

	measure->watch->finding(measure, subject, measure->watch->arg);
}

static void end_round(const struct measure *measure, const char *why)
{
	measure->watch->end(measure, why, measure->watch->arg);
}

/* A round that can't even begin, since nothing connects, is tried so often, and after such pauses:
 * for half an hour. */
#define ATTEMPTS_MAX	30
#define ATTEMPT_PAUSE_S 60

/* Not longer than the shortest gap: who measures seconds has no minute to wait. */
static void pause_before_again(struct measure *measure, int pause_s)
{
	struct pollfd input = {.fd = measure->signals, .events = POLLIN};
	int64_t until_ms = monotonic_ms(), now_ms;
	int64_t pause_ms = pause_s * 1000;

	if (pause_ms > (int64_t)measure->rounds.options.from_ms)
		pause_ms = (int64_t)measure->rounds.options.from_ms;
	until_ms += pause_ms;
	while (!measure->interrupted && (now_ms = monotonic_ms()) < until_ms) {
		poll(&input, 1, (int)(until_ms - now_ms));
		measure->interrupted = round_interrupted(measure->signals);
	}
}

/* Nothing of it counts. */
static int make_void(struct measure *measure, const char *why, struct error *e)
{
	struct idled idled[ROUNDS_CONNECTIONS_MAX];
	size_t n = round_outcomes(&measure->round, true, idled);
	int err = rounds_void(&measure->rounds, idled, n);

	end_round(measure, why);
	if (err == -EAGAIN)
		return error_set(
			e, EAGAIN,
			"%d rounds didn't count, one after the other; the last one because %s "
			"(if the path forgets within %.0f s, a shorter --from finds it)",
			ROUNDS_AGAIN_MAX + 1, why,
			(double)measure->rounds.options.control_ms / 1000);
	if (err)
		return error_set(e, -err, "out of memory");
	pause_before_again(measure,
			   pauses_s[measure->rounds.again ? measure->rounds.again - 1 : 0]);
	return 0;
}

/*
 * The command did connect before, and doesn't now: path or server are out. Until they are back no
 * round is made, so that none is used up.
 */
static int wait_for_path(struct measure *measure, struct error *e)
{
	if (++measure->attempts >= ATTEMPTS_MAX)
		return error_prefix(e, -EAGAIN, "tried %d times in vain to go on", ATTEMPTS_MAX);
	measure->watch->wait(measure, e->text, measure->watch->arg);
	measure->number--; /* it is made yet */
	pause_before_again(measure, ATTEMPT_PAUSE_S);
	return 0;
}

static bool is_alike(uint64_t a, uint64_t b)
{
	uint64_t apart = a < b ? b - a : a - b;

	return apart <= CLOSED_ALIKE_MS || apart <= b / 10;
}

/* Once it may be a restart; the same twice is a timeout, and what was answered before counts. */
static int closed(struct measure *measure, struct error *e)
{
	uint64_t closed_ms = measure->round.closed_ms, before_ms = measure->closed_ms;
	struct idled idled[ROUNDS_CONNECTIONS_MAX];
	char why[128];
	size_t n;

	measure->closed_ms = closed_ms;
	if (!before_ms || !is_alike(closed_ms, before_ms)) {
		snprintf(why, sizeof(why),
			 "the server has closed connections that had idled for %.0f s: its own "
			 "timeout, or a restart",
			 (double)closed_ms / 1000);
		return make_void(measure, why, e);
	}
	n = round_outcomes(&measure->round, false, idled);
	if (n && rounds_take(&measure->rounds, idled, n) == -ENOMEM)
		return error_set(e, ENOMEM, "out of memory");
	rounds_limit(&measure->rounds, closed_ms < before_ms ? closed_ms : before_ms);
	snprintf(why, sizeof(why), "the server closes connections that idle for %.0f s",
		 (double)measure->rounds.limit_ms / 1000);
	end_round(measure, why);
	return 0;
}

static int counts(struct measure *measure, struct error *e)
{
	struct idled idled[ROUNDS_CONNECTIONS_MAX];
	size_t i, n = round_outcomes(&measure->round, false, idled);
	const char *why = "nothing was learned";
	int err = rounds_take(&measure->rounds, idled, n);

	for (i = 0; i < measure->round.n; i++) {
		if (measure->round.subjects[i].why[0])
			why = measure->round.subjects[i].why;
	}
	end_round(measure, measure->rounds.again ? why : NULL);
	if (err == -EAGAIN)
		return error_set(e, EAGAIN, "%s", why);
	return err ? error_set(e, -err, "out of memory") : 0;
}

static int counts_so_far(struct measure *measure, struct error *e)
{
	struct idled idled[ROUNDS_CONNECTIONS_MAX];
	size_t n = round_outcomes(&measure->round, false, idled);

	if (n && rounds_take(&measure->rounds, idled, n) == -ENOMEM)
		return error_set(e, ENOMEM, "out of memory");
	return 0;
}

static int run_round(struct measure *measure, struct error *e)
{
	const struct round_watch watch = {.look = look, .finding = finding, .arg = measure};
	uint64_t gaps[ROUNDS_CONNECTIONS_MAX];
	size_t n = rounds_next(&measure->rounds, gaps);
	char why[sizeof(e->text)];
	int ret;

	measure->number++;
	measure->begun_ms = monotonic_ms();
	measure->longest_ms = gaps[n - 1];
	measure->round.n = 0;
	measure->watch->begin(measure, measure->watch->arg);
	ret = round_run(&measure->round, &measure->world, measure->rounds.options.control_ms, gaps,
			n, measure->signals, &watch, e);
	round_stop(&measure->round);
	if (measure->round.started)
		measure->attempts = 0;
	switch (ret) {
	case ROUND_COUNTS:
		return counts(measure, e);
	case ROUND_VOID:
		return make_void(measure, measure->round.why, e);
	case ROUND_CLOSED:
		return closed(measure, e);
	case ROUND_INTERRUPTED:
		measure->interrupted = true; /* what has an outcome by now is known all the same */
		return counts_so_far(measure, e);
	case -ESRCH:
	case -ETIMEDOUT:
		if (measure->rounds.n && !measure->round.started)
			return wait_for_path(measure, e);
		if (measure->rounds.n) { /* it did work before */
			snprintf(why, sizeof(why), "%s", e->text);
			return make_void(measure, why, e);
		}
	}
	return ret;
}

int measure_run(struct measure *measure, const struct rounds_options *options, struct error *e)
{
	int err = 0;

	rounds_init(&measure->rounds, options);
	measure->world.login_ms =
		options->from_ms < SUBJECT_LOGIN_MS ? options->from_ms : SUBJECT_LOGIN_MS;
	while (!err && !measure->interrupted && measure->rounds.phase != ROUNDS_DONE)
		err = run_round(measure, e);
	pidfd_helper_close(&measure->world.helper);
	return err;
}

void measure_free(struct measure *measure)
{
	rounds_free(&measure->rounds);
}
