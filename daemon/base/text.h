/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes text that someone else wrote safe to show. */
#ifndef HOLDFAST_BASE_TEXT_H
#define HOLDFAST_BASE_TEXT_H

#include <stddef.h>

/* The room that text_escape() needs at most for size bytes of text, its NUL included. */
#define TEXT_ESCAPED_MAX(size) (4 * (size) + 1)

/*
 * Copies size bytes of text to out. Control characters, line separators, characters that change
 * the direction of writing, and bytes that aren't UTF-8 are written as \xHH. Text that doesn't fit
 * into room bytes is cut, and then ends in "...". out always ends in a NUL; room must be at least
 * 8. Returns out.
 */
char *text_escape(char *out, size_t room, const char *text, size_t size);

/* Size of the buffer for a wrong value that a message quotes. */
#define TEXT_QUOTE_MAX 128

/* Escapes text into quote, as text_escape() does. Returns quote. */
const char *text_quote(char quote[TEXT_QUOTE_MAX], const char *text, size_t size);

#endif
