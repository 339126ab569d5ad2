/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that others read while it is written: it is replaced in one step, by
 * a rename within its folder, so that nobody ever sees a part of it.
 */
#ifndef HOLDFAST_TEXTFILE_H
#define HOLDFAST_TEXTFILE_H

#include "error.h"

#include <stddef.h>

/*
 * Puts size bytes of text at an absolute path, readable by everybody, in place
 * of what is there. A symbolic link there is replaced too, not followed. On
 * failure what was there stays, and nothing is left beside it.
 */
int textfile_put(const char *path, const char *text, size_t size, struct error *e);

/* Removes it, and what a killed process left beside it. One that isn't there is no error. */
int textfile_drop(const char *path, struct error *e);

#endif
