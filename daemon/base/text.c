// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Returns the length of the UTF-8 character at p; 0 if it isn't one, or must not be shown as it
 * is. */
static size_t visible(const unsigned char *p, size_t size)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t c;
	size_t len, i;

	if (p[0] < 0x80)
		return p[0] >= 0x20 && p[0] != 0x7f;
	if (p[0] >= 0xc2 && p[0] < 0xe0) {
		len = 2;
		c = p[0] & 0x1fu;
	} else if (p[0] >= 0xe0 && p[0] < 0xf0) {
		len = 3;
		c = p[0] & 0x0fu;
	} else if (p[0] >= 0xf0 && p[0] < 0xf5) {
		len = 4;
		c = p[0] & 0x07u;
	} else {
		return 0;
	}
	if (len > size)
		return 0;
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	/* C1 controls, line separators, and characters that change the direction of writing. */
	if (c < 0xa0 || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
		return 0;
	return len;
}

char *text_escape(char *out, size_t room, const char *text, size_t size)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t used = 0, whole = 0, step, n;
	char piece[8];

	while (size) {
		step = visible(p, size);
		if (step) {
			memcpy(piece, p, step);
			n = step;
		} else {
			step = 1;
			n = (size_t)snprintf(piece, sizeof(piece), "\\x%02x", p[0]);
		}
		if (used + n >= room) {
			memcpy(out + whole, "...", 4);
			return out;
		}
		memcpy(out + used, piece, n);
		used += n;
		if (used + 4 <= room)
			whole = used; /* the dots still fit behind it */
		p += step;
		size -= step;
	}
	out[used] = '\0';
	return out;
}

const char *text_quote(char quote[TEXT_QUOTE_MAX], const char *text, size_t size)
{
	return text_escape(quote, TEXT_QUOTE_MAX, text, size);
}
