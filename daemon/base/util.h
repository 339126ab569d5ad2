/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clean-up attributes for owned memory, descriptors and streams, and helpers to grow arrays and to
 * hand ownership on. */
#ifndef HOLDFAST_BASE_UTIL_H
#define HOLDFAST_BASE_UTIL_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_free_	   __attribute__((cleanup(cleanup_free)))
#define _cleanup_close_	   __attribute__((cleanup(cleanup_close)))
#define _cleanup_fclose_   __attribute__((cleanup(cleanup_fclose)))
#define _cleanup_closedir_ __attribute__((cleanup(cleanup_closedir)))

/*
 * Closes a stream of open_memstream(). Returns *text, which the caller frees. NULL: out of memory,
 * which shows as an error, or as no text without one (glibc 2.36).
 */
static inline char *memstream_close(FILE *out, char **text)
{
	bool bad = ferror(out);

	if (fclose(out) || bad) {
		free(*text);
		*text = NULL;
	}
	return *text;
}

/*
 * Makes room for one more element in a growing array. list is the address of the pointer to the
 * elements, each of size bytes; n of them are in use, and *room fit. Returns 0; or -ENOMEM, and
 * the array stays as it was.
 */
static inline int array_grow(void *list, size_t n, size_t *room, size_t size)
{
	size_t more = *room ? *room * 2 : 64;
	void *now, *bigger;

	if (n < *room)
		return 0;
	memcpy(&now, list, sizeof(now));
	bigger = reallocarray(now, more, size);
	if (!bigger)
		return -ENOMEM;
	memcpy(list, &bigger, sizeof(bigger));
	*room = more;
	return 0;
}

/* Hands ownership on: take_ptr() returns a pointer and sets it to NULL, take_fd() returns a
 * descriptor and sets it to -1. */
#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#endif
