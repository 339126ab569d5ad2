/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that someone else wrote, made safe to show. */
#ifndef HOLDFAST_TEXT_H
#define HOLDFAST_TEXT_H

#include <stddef.h>

/* Room that text_escape() needs for size bytes, at most. */
#define TEXT_ESCAPED_MAX(size) (4 * (size) + 1)

/*
 * Copies size bytes of text with control characters, and what isn't UTF-8, as
 * \xHH. What doesn't fit into room is cut off and ends in "...". Always ends in
 * a NUL; room must be at least 8. Returns out.
 */
char *text_escape(char *out, size_t room, const char *text, size_t size);

/* What a message quotes of a value that is wrong, at most. */
#define TEXT_QUOTE_MAX 128

/* text_escape() into a quote. */
const char *text_quote(char quote[TEXT_QUOTE_MAX], const char *text, size_t size);

#endif
