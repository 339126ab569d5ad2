// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/pin_exchange.h"

#include "kernel/hook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OLD_SUFFIX "_old"

/* The paths of one name: the place, the new pin aside, and the old pin, also aside. */
struct paths {
	char place[PATH_MAX], aside[PATH_MAX], old[PATH_MAX];
};

static void find_paths(const struct pin_exchange *exchange, const char *name, struct paths *paths)
{
	pins_path(exchange->pins, name, paths->place, sizeof(paths->place));
	pins_path(&exchange->aside, name, paths->aside, sizeof(paths->aside));
	snprintf(paths->old, sizeof(paths->old), "%s/%s" OLD_SUFFIX, exchange->aside.sub, name);
}

int pin_exchange_begin(struct pin_exchange *exchange, const struct pins *pins, struct error *e)
{
	*exchange = (struct pin_exchange){.pins = pins, .aside = *pins};
	return pins_begin(&exchange->aside, e);
}

int pin_exchange_put(struct pin_exchange *exchange, const char *name, int fd, struct error *e)
{
	int err = fd < 0 ? 0 : pins_put(&exchange->aside, name, fd, e);

	if (!err && exchange->n == PIN_EXCHANGE_MAX)
		err = error_set(e, E2BIG, "there are too many pins");
	if (!err)
		exchange->names[exchange->n++] = name;
	return err;
}

static int exchange_one(const struct pin_exchange *exchange, const char *name, struct error *e)
{
	struct paths paths;
	int err;

	find_paths(exchange, name, &paths);
	/* The old pin gets a second name; renaming it would leave its place empty for a moment. */
	if (link(paths.place, paths.old) < 0 && errno != ENOENT)
		return error_set(e, errno, "can't keep %s: %s", paths.place, strerror(errno));
	if (!pins_has(&exchange->aside, name))
		err = pins_drop(exchange->pins, name, e);
	else if (rename(paths.aside, paths.place) < 0)
		err = error_set(e, errno, "can't pin %s: %s", paths.place, strerror(errno));
	else
		err = 0;
	if (err)
		unlink(paths.old);
	return err;
}

static void undo_one(const struct pin_exchange *exchange, const char *name)
{
	struct paths paths;

	find_paths(exchange, name, &paths);
	if (rename(paths.old, paths.place) < 0 && errno == ENOENT)
		unlink(paths.place); /* there was no old pin */
}

int pin_exchange_do(struct pin_exchange *exchange, struct error *e)
{
	int err = 0;

	while (!err && exchange->done < exchange->n) {
		err = exchange_one(exchange, exchange->names[exchange->done], e);
		if (!err)
			exchange->done++;
	}
	if (err)
		pin_exchange_undo(exchange);
	return err;
}

void pin_exchange_undo(struct pin_exchange *exchange)
{
	while (exchange->done)
		undo_one(exchange, exchange->names[--exchange->done]);
}

void pin_exchange_end(struct pin_exchange *exchange)
{
	struct error ignored;

	if (exchange->pins)
		pins_remove_folder(&exchange->aside, &ignored);
}

void pin_exchange_detach_old(const struct pin_exchange *exchange, const char *name)
{
	char old[NAME_MAX];

	snprintf(old, sizeof(old), "%s" OLD_SUFFIX, name);
	hook_detach(&exchange->aside, old, NULL);
}
