/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads pinned BPF iterators. Opening the pin and reading it to its end runs the program over
 * everything that it iterates. The TCP iterators see the network namespace of the process that
 * opens them.
 */
#ifndef HOLDFAST_KERNEL_ITER_H
#define HOLDFAST_KERNEL_ITER_H

#include "kernel/pins.h"

/* Callback for each record of record_size bytes, suitably aligned; non-zero stops the reading. */
typedef int (*iter_fn)(const void *record, void *arg);

/*
 * Opens a pinned iterator in the current namespace. Returns a descriptor, the caller's to close,
 * or negative errno.
 */
int iter_open(const struct pins *pins, const char *name, struct error *e);

/*
 * Reads an open iterator to its end. Returns 0, what fn returned if that isn't 0, or negative
 * errno.
 */
int iter_read(int fd, size_t record_size, iter_fn fn, void *arg, struct error *e);

/* Opens a pinned iterator and reads it to its end. Returns as iter_read() does. */
int iter_run(const struct pins *pins, const char *name, size_t record_size, iter_fn fn, void *arg,
	     struct error *e);

#endif
