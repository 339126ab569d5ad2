// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set

int error_set(struct error *e, int err, const char *format, ...)
{
	va_list args;

	if (e) {
		va_start(args, format);
		vsnprintf(e->text, sizeof(e->text), format, args);
		va_end(args);
	}
	return err > 0 ? -err : -EIO;
}

bool error_is_shortage(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE;
}

int error_prefix(struct error *e, int err, const char *format, ...)
{
	char context[ERROR_MAX / 2];
	size_t used, room;
	va_list args;

	if (!e)
		return err;
	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);

	used = strlen(context);
	room = sizeof(e->text) - used - 3;
	e->text[room] = '\0';
	memmove(e->text + used + 2, e->text, strlen(e->text) + 1);
	memcpy(e->text, context, used);
	memcpy(e->text + used, ": ", 2);
	return err;
}
