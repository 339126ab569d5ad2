/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading pinned BPF iterators: opening the pin and reading it to its end runs
 * the program over everything that it iterates. The TCP iterators see the
 * network namespace of whoever opens them.
 */
#ifndef HOLDFAST_ITER_H
#define HOLDFAST_ITER_H

#include "pins.h"

/* Called for each record of record_size bytes, suitably aligned; non-zero stops. */
typedef int (*iter_fn)(const void *record, void *arg);

/* Opens a pinned iterator in the current namespace. A descriptor, or negative errno. */
int iter_open(const struct pins *pins, const char *name, struct error *e);

/* Reads an open iterator to its end. What fn returned if that isn't 0, or negative errno. */
int iter_read(int fd, size_t record_size, iter_fn fn, void *arg, struct error *e);

/* Both in one. */
int iter_run(const struct pins *pins, const char *name, size_t record_size, iter_fn fn, void *arg,
	     struct error *e);

#endif
