// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/exporter.h"

#include "base/clock.h"
#include "base/textfile.h"
#include "base/util.h"
#include "show/metrics.h"

/* How old the numbers in the file get: connections come and go without telling the daemon. */
#define PERIOD_US (60u * 1000u * 1000u)

/* How long the exporter waits between two writes: at least GAP_US, and at least GAP_COST times
 * the CPU time of the first one, which limits it to half a percent of one CPU. */
#define GAP_US	 (1000u * 1000u)
#define GAP_COST 200u

#define ACCURACY_US 10000u

#define MODE 0644 /* node_exporter has a user of its own */

struct exporter {
	const struct log *log;
	const struct data_plane *plane;
	sd_event_source *timer;
	char *path;	  /* owned; NULL: none */
	bool written;	  /* the file at path is ours */
	bool failing;	  /* the last write failed, and that has been logged */
	uint64_t next_us; /* CLOCK_MONOTONIC; the file is written at this time at the latest */
	uint64_t free_us; /* CLOCK_MONOTONIC; the file isn't written before this time */
};

static void arm(struct exporter *exporter, uint64_t when_us)
{
	exporter->next_us = when_us;
	sd_event_source_set_time(exporter->timer, when_us);
	sd_event_source_set_enabled(exporter->timer, SD_EVENT_ONESHOT);
}

/* Writes the numbers to a text; with NULL what a daemon that has stopped leaves. */
static int to_text(const struct metrics *metrics, char **text, size_t *size, struct error *e)
{
	FILE *out = open_memstream(text, size);

	if (!out)
		return error_set(e, ENOMEM, "out of memory");
	if (metrics)
		metrics_write(metrics, out);
	else
		metrics_write_nothing(out);
	return memstream_close(out, text) ? 0 : error_set(e, ENOMEM, "out of memory");
}

static int put(const struct exporter *exporter, bool daemon_up, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	struct metrics metrics;
	size_t size;
	int err;

	err = metrics_take(exporter->plane, &metrics, e);
	if (err)
		return err;
	metrics.daemon_up = daemon_up;
	err = to_text(&metrics, &text, &size, e);
	metrics_free(&metrics);
	return err ? err : textfile_put(exporter->path, text, size, MODE, e);
}

static void write_file(struct exporter *exporter, bool daemon_up)
{
	struct error e = {0};
	int err = put(exporter, daemon_up, &e);

	if (err && !exporter->failing)
		log_warning(exporter->log, "the metrics can't be written: %s (it is tried again)",
			    e.text);
	if (!err && exporter->failing)
		log_info(exporter->log, "the metrics are written to %s again", exporter->path);
	exporter->failing = err;
	exporter->written = exporter->written || !err;
}

static void write_now(struct exporter *exporter)
{
	uint64_t start = cpu_time_us(), cost, now;

	write_file(exporter, true);
	cost = cpu_time_us() - start;
	now = monotonic_us();
	exporter->free_us = now + (cost * GAP_COST > GAP_US ? cost * GAP_COST : GAP_US);
	arm(exporter, exporter->free_us > now + PERIOD_US ? exporter->free_us : now + PERIOD_US);
}

static int on_timer(sd_event_source *source, uint64_t us, void *arg)
{
	(void)source;
	(void)us;
	write_now(arg);
	return 0;
}

int exporter_new(struct exporter **exporter, sd_event *event, const struct log *log,
		 const struct data_plane *plane)
{
	struct exporter *made = calloc(1, sizeof(*made));
	int err;

	if (!made)
		return -ENOMEM;
	made->log = log;
	made->plane = plane;
	err = sd_event_add_time(event, &made->timer, CLOCK_MONOTONIC, 0, ACCURACY_US, on_timer,
				made);
	if (err >= 0)
		err = sd_event_source_set_enabled(made->timer, SD_EVENT_OFF);
	if (err >= 0) /* everything else in the event loop comes first */
		err = sd_event_source_set_priority(made->timer, SD_EVENT_PRIORITY_IDLE);
	if (err < 0) {
		exporter_free(made);
		return err;
	}
	*exporter = made;
	return 0;
}

void exporter_free(struct exporter *exporter)
{
	if (!exporter)
		return;
	sd_event_source_unref(exporter->timer);
	free(exporter->path);
	free(exporter);
}

void exporter_adopt(struct exporter *exporter, const char *path)
{
	exporter->path = path ? strdup(path) : NULL;
	exporter->written = exporter->path != NULL;
}

static bool same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void remove_file(struct exporter *exporter)
{
	struct error e = {0};

	if (!exporter->written)
		return;
	if (textfile_drop(exporter->path, &e))
		log_warning(exporter->log, "%s", e.text);
	exporter->written = false;
}

/* An earlier daemon's, of another name: one series must not come from two files. */
static void drop_stopped(const struct exporter *exporter)
{
	_cleanup_free_ char *text = NULL;
	struct error e = {0};
	size_t size;

	if (!to_text(NULL, &text, &size, &e))
		textfile_drop_like(exporter->path, text, size);
}

void exporter_set(struct exporter *exporter, const char *path)
{
	if (same(exporter->path, path)) {
		exporter_due(exporter);
		return;
	}
	remove_file(exporter);
	free(exporter->path);
	exporter->path = path ? strdup(path) : NULL;
	exporter->failing = false;
	sd_event_source_set_enabled(exporter->timer, SD_EVENT_OFF);
	if (path && !exporter->path)
		log_warning(exporter->log, "the metrics can't be written: out of memory");
	if (exporter->path)
		write_now(exporter); /* at once, so that `holdfast reload` shows a failure */
	if (exporter->written)
		drop_stopped(exporter);
}

void exporter_due(struct exporter *exporter)
{
	uint64_t now = monotonic_us(), when = exporter->free_us > now ? exporter->free_us : now;
	int enabled = SD_EVENT_OFF;

	if (!exporter->path)
		return;
	sd_event_source_get_enabled(exporter->timer, &enabled);
	if (enabled == SD_EVENT_OFF || when < exporter->next_us)
		arm(exporter, when);
}

void exporter_stop(struct exporter *exporter)
{
	_cleanup_free_ char *text = NULL;
	struct error e = {0};
	size_t size;

	if (!exporter->written)
		return;
	if (to_text(NULL, &text, &size, &e) || textfile_put(exporter->path, text, size, MODE, &e))
		log_warning(exporter->log, "the metrics can't be written: %s", e.text);
}

void exporter_leave(struct exporter *exporter)
{
	if (exporter->path)
		write_file(exporter, false);
}
