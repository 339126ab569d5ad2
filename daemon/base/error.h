/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base/ has what knows nothing of holdfast: errors, log lines, texts, durations, sets, files.
 * It calls only libraries.
 */

/*
 * Defines the one error type. A function that fails returns a negative errno, and writes a
 * sentence for the user to a struct error that the caller owns.
 */
#ifndef HOLDFAST_BASE_ERROR_H
#define HOLDFAST_BASE_ERROR_H

#include <stdbool.h>

#define ERROR_MAX 1024

struct error {
	char text[ERROR_MAX]; /* one line without its newline; empty: no error */
};

/*
 * Writes the sentence, cut to fit, and returns -err. err is a positive errno; the sentence doesn't
 * get its text by itself, so use %m or strerror() where it helps. Where err isn't positive,
 * returns -EIO, so that a failure never looks like a success. e may be NULL.
 */
__attribute__((format(printf, 3, 4))) int error_set(struct error *e, int err, const char *format,
						    ...);

/* Tells static analyzers, which don't see into error.c, that error_set() never returns 0. Otherwise
 * they report reads of variables that a failed call hasn't set. `make check-static` defines
 * HF_ANALYZE. */
#ifdef HF_ANALYZE
static inline int error_negative(int err)
{
	if (err >= 0)
		__builtin_unreachable();
	return err;
}
#define error_set(...) error_negative(error_set(__VA_ARGS__))
#endif

/*
 * Tells whether a negative errno says that this process, or the host, lacks descriptors or memory,
 * and not that something is wrong with what was asked for.
 */
bool error_is_shortage(int err);

/* Puts "context: " before the sentence in e, which may be NULL. Returns err unchanged. */
__attribute__((format(printf, 3, 4))) int error_prefix(struct error *e, int err, const char *format,
						       ...);

#endif
