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
 * and isn't spelled out by itself: say it with %m or strerror where it helps).
 * e may be NULL.
 */
__attribute__((format(printf, 3, 4))) int error_set(struct error *e, int err, const char *format,
						    ...);

/* Puts "context: " before the sentence that is there. Returns err as it came. */
__attribute__((format(printf, 3, 4))) int error_prefix(struct error *e, int err, const char *format,
						       ...);

#endif
