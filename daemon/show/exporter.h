/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes and removes the daemon's metrics-textfile; metrics.h makes its content. If the file can't
 * be written that is logged once, and has no effect on enforcement.
 */
#ifndef HOLDFAST_SHOW_EXPORTER_H
#define HOLDFAST_SHOW_EXPORTER_H

#include "base/log.h"
#include "kernel/data_plane.h"

#include <systemd/sd-event.h>

struct exporter; /* opaque */

/*
 * Creates an exporter without a file; exporter_free() frees it. log and plane must outlive it.
 * Returns 0 or a negative errno.
 */
int exporter_new(struct exporter **exporter, sd_event *event, const struct log *log,
		 const struct data_plane *plane);
void exporter_free(struct exporter *exporter);

/* Takes over the file that an earlier daemon has left at path; NULL: it has left none. */
void exporter_adopt(struct exporter *exporter, const char *path);

/*
 * Changes the path to this one, removes the file at the old path if that was another one, and
 * writes the file; NULL: no file from now on.
 */
void exporter_set(struct exporter *exporter, const char *path);

/* Has the file written soon, since something has happened that it should show. */
void exporter_due(struct exporter *exporter);

/*
 * Writes the file once more, and in it that nothing is attached: for a daemon that stops and
 * detaches. Whoever looks at the file sees that until the next start, which removes it if its own
 * has another name in that folder.
 */
void exporter_stop(struct exporter *exporter);

/*
 * Writes the file once more, and in it that no daemon runs: for a daemon that stops and leaves
 * everything attached.
 */
void exporter_leave(struct exporter *exporter);

#endif
