/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes files that others may read at any time. A file is replaced in one step, by a rename within
 * its folder, so that nobody ever sees a part of it.
 */
#ifndef HOLDFAST_BASE_TEXTFILE_H
#define HOLDFAST_BASE_TEXTFILE_H

#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/*
 * Writes size bytes of text to a file at a path with a folder, with that mode, and replaces the
 * file that is there. A symbolic link at path is replaced, not followed. Returns 0 or a negative
 * errno; on failure the old file stays, and nothing is left beside it.
 */
int textfile_put(const char *path, const char *text, size_t size, mode_t mode, struct error *e);

/* Removes the file at path, and the unfinished new one that a killed process left beside it.
 * Returns 0, also if there is no such file, or a negative errno. */
int textfile_drop(const char *path, struct error *e);

/*
 * Removes the other files in the folder of path whose names end alike (holdfast.prom: in .prom) and
 * that have exactly this text. Files that can't be read or removed stay.
 */
void textfile_drop_like(const char *path, const char *text, size_t size);

#endif
