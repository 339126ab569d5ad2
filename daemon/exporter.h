/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's metrics-textfile: when it is written, and when it goes. What is
 * in it: metrics.h. A file that can't be written is told once, and changes
 * nothing about enforcement.
 */
#ifndef HOLDFAST_EXPORTER_H
#define HOLDFAST_EXPORTER_H

#include "log.h"
#include "plane.h"

#include <systemd/sd-event.h>

struct exporter; /* opaque */

/* log and plane must outlive it. Negative errno. */
int exporter_new(struct exporter **exporter, sd_event *event, const struct log *log,
		 const struct plane *plane);
void exporter_free(struct exporter *exporter);

/* An earlier daemon has left its file there; NULL: none. */
void exporter_adopt(struct exporter *exporter, const char *path);

/* From now on it is this file; NULL: none. The one that was at another path goes. */
void exporter_set(struct exporter *exporter, const char *path);

/* Something has happened that the file should tell. It is written soon, or was just now. */
void exporter_due(struct exporter *exporter);

/* The way out: the file goes, since what it tells of is over... */
void exporter_remove(struct exporter *exporter);
/* ...or tells that all is still attached, and that the daemon isn't there any more. */
void exporter_leave(struct exporter *exporter);

#endif
