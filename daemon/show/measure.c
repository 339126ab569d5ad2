// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/measure.h"

#include "base/clock.h"
#include "base/duration.h"
#include "base/util.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

/* Starting commands, answers and the way out take some time, too. */
#define ROUND_EXTRA_MS 20000

static const char *const outcomes[] = {
	[OUTCOME_ANSWERED] = "answered",
	[OUTCOME_SILENCE] = "silence",
	[OUTCOME_RESET] = "reset",
	[OUTCOME_VOID] = "void",
};

/* To the second, but for short ones: "7.3s", "350s", "2h". */
static void format_gap(uint64_t ms, char text[DURATION_TEXT_MAX])
{
	if (ms < 20000)
		snprintf(text, DURATION_TEXT_MAX, "%.1fs", (double)ms / 1000);
	else
		duration_format((ms + 500) / 1000 * 1000, text, DURATION_TEXT_MAX);
}

/* When all of it will be done, at the latest: "14:32". */
static void format_end(const struct measure *measure, char text[16])
{
	uint64_t left_ms = rounds_left_ms(&measure->rounds) + ROUND_EXTRA_MS;
	time_t end = time(NULL) + (time_t)(left_ms / 1000) -
		     (time_t)((monotonic_ms() - measure->begun_ms) / 1000);
	struct tm tm;

	localtime_r(&end, &tm);
	strftime(text, 16, left_ms < 86400000 ? "%H:%M" : "%a %H:%M", &tm);
}

static void format_heading(const struct measure *measure, char *text, size_t size)
{
	char end[16], longest[DURATION_TEXT_MAX];
	const char *what = measure->rounds.phase == ROUNDS_CONFIRM ? ", to confirm it" : "";

	format_end(measure, end);
	format_gap(measure->longest_ms, longest);
	snprintf(text, size, "round %u%s: idle for up to %s; all done by %s at the latest",
		 measure->number, what, longest, end);
}

/* What is to be said of one that has an outcome. */
static void format_outcome(const struct subject *subject, char *text, size_t size)
{
	if (subject->outcome == OUTCOME_ANSWERED)
		snprintf(text, size, "answered in %" PRIu64 " ms", subject->answer_ms);
	else if (subject->outcome == OUTCOME_VOID)
		snprintf(text, size, "void: %s", subject->why);
	else if (subject->asked)
		snprintf(text, size, "%s", outcomes[subject->outcome]);
	else
		snprintf(text, size, "reset without being asked");
}

static void format_stage(const struct subject *subject, char *text, size_t size)
{
	int64_t left_ms = subject->last_ms + (int64_t)subject->gap_ms - monotonic_ms();
	char left[DURATION_TEXT_MAX];

	switch (subject->stage) {
	case SUBJECT_STARTING:
		snprintf(text, size, subject->client.pid ? "connects" : "waits for the control");
		break;
	case SUBJECT_IDLE:
		duration_format((uint64_t)(left_ms > 0 ? left_ms + 999 : 0) / 1000 * 1000, left,
				sizeof(left));
		snprintf(text, size, "in %s", left);
		break;
	case SUBJECT_PROBING:
		snprintf(text, size, "probed");
		break;
	case SUBJECT_SUSPECT:
		snprintf(text, size, "%s; what about the control?", outcomes[subject->outcome]);
		break;
	case SUBJECT_DONE:
		format_outcome(subject, text, size);
		break;
	case SUBJECT_NEEDLESS:
		snprintf(text, size, "not needed");
		break;
	}
}

/* One line of the block, in place of the one that was there, and no wider than the terminal. */
static __attribute__((format(printf, 2, 3))) void put_line(struct measure_display *display,
							   const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	printf("%.*s\033[K\n", (int)display->columns, line);
	display->lines++;
}

/* A terminal that doesn't say how large it is has 24 lines of 80 columns. */
static void measure_terminal(struct measure_display *display, size_t *rows)
{
	struct winsize size = {0};

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	display->columns = size.ws_col > 20 ? size.ws_col - 1u : 79;
	*rows = size.ws_row > 10 ? size.ws_row : 24;
}

static void put_subject(struct measure_display *display, const struct subject *subject)
{
	uint64_t idle_ms = subject->idle_ms;
	char gap[DURATION_TEXT_MAX], what[320];

	if (subject->stage == SUBJECT_IDLE)
		idle_ms = (uint64_t)(monotonic_ms() - subject->last_ms);
	format_gap(subject->gap_ms, gap);
	format_stage(subject, what, sizeof(what));
	put_line(display, "  %7" PRIu64 " s  %-9s %s", idle_ms / 1000, gap, what);
}

static void draw(struct measure_display *display, const struct measure *measure)
{
	const struct round *round = &measure->round;
	size_t rows, shown, i;
	char text[160];

	measure_terminal(display, &rows);
	if (display->lines)
		printf("\033[%uA", display->lines);
	display->lines = 0;
	format_heading(measure, text, sizeof(text));
	put_line(display, "%s", text);
	put_line(display, "  %9s  %-9s %s", "IDLE", "PROBE AT", "ANSWER");
	/* What has scrolled away can't be kept up to date: heading, control, and a line to spare.
	 */
	shown = round->n + 5 > rows ? rows - 5 : round->n;
	for (i = 0; i < shown; i++)
		put_subject(display, &round->subjects[i]);
	if (shown < round->n)
		put_line(display, "  ... and %zu more", round->n - shown);
	if (round->proved_ms)
		put_line(display, "  control: answered %.0f s ago",
			 (double)(monotonic_ms() - round->proved_ms) / 1000);
	else
		put_line(display, "  control: %s",
			 round->control.stage == SUBJECT_STARTING ? "connects" : "connected");
	fflush(stdout);
}

static void on_begin(const struct measure *measure, void *arg)
{
	struct measure_display *display = arg;

	char text[160];

	if (measure->attempts)
		return; /* another attempt to begin it: what is shown of it stays */
	display->lines = 0;
	if (display->quiet || display->terminal)
		return;
	format_heading(measure, text, sizeof(text));
	puts(text);
	fflush(stdout);
}

static void on_look(const struct measure *measure, void *arg)
{
	struct measure_display *display = arg;

	if (display->terminal && !display->quiet)
		draw(display, measure);
}

static void on_finding(const struct measure *measure, const struct subject *subject, void *arg)
{
	const struct measure_display *display = arg;
	char what[320];

	(void)measure;
	if (display->quiet || display->terminal)
		return;
	format_outcome(subject, what, sizeof(what));
	printf("idle for %.1f s: %s\n", (double)subject->idle_ms / 1000, what);
	fflush(stdout);
}

static void on_wait(const struct measure *measure, const char *why, void *arg)
{
	struct measure_display *display = arg;

	if (measure->attempts > 1 || display->quiet)
		return;
	printf("round %u can't begin yet: %s; trying again\n", measure->number, why);
	fflush(stdout);
	display->lines = 0;
}

static void on_end(const struct measure *measure, const char *why, void *arg)
{
	struct measure_display *display = arg;

	if (!why || display->quiet)
		return;
	printf("round %u doesn't count: %s\n", measure->number, why);
	fflush(stdout);
	display->lines = 0;
}

struct measure_watch measure_display_watch(struct measure_display *display)
{
	return (struct measure_watch){.begin = on_begin,
				      .look = on_look,
				      .finding = on_finding,
				      .wait = on_wait,
				      .end = on_end,
				      .arg = display};
}
