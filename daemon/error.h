/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one error type: functions return 0 or a negative errno, and leave a
 * sentence to show to a person in a struct error that the caller owns.
 */
#ifndef HOLDFAST_ERROR_H
#define HOLDFAST_ERROR_H

#define ERROR_MAX 1024

struct error {
	char text[ERROR_MAX]; /* one line without the newline; empty: none */
};

/*
 * Writes the sentence, cut to fit, and returns -err (err is a positive errno
 * and isn't spelled out by itself: say it with %m or strerror where it helps). An
 * err that is none becomes EIO: what has failed never looks like a success.
 * e may be NULL.
 */
__attribute__((format(printf, 3, 4))) int error_set(struct error *e, int err, const char *format,
						    ...);

/* Analyzers don't see into error.c: it never returns 0, and what a failed call would have set isn't
 * read. make check-static defines this. */
#ifdef HF_ANALYZE
static inline int error_negative(int err)
{
	if (err >= 0)
		__builtin_unreachable();
	return err;
}
#define error_set(...) error_negative(error_set(__VA_ARGS__))
#endif

/* Puts "context: " before the sentence that is there. Returns err as it came. */
__attribute__((format(printf, 3, 4))) int error_prefix(struct error *e, int err, const char *format,
						       ...);

#endif
