// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/preview_config.h"

#include "kernel/rules_map.h"
#include "names/resolver.h"
#include "sockets/windows.h"

#include <errno.h>
#include <string.h>

/* How long to wait for the addresses of host names. */
#define NAMES_WAIT_MS 5000

static bool has_names(const struct config *config)
{
	size_t i, j;

	for (i = 0; i < config->n_rules; i++) {
		for (j = 0; j < config->rules[i].n_destinations; j++) {
			if (config->rules[i].destinations[j].kind == DESTINATION_NAME)
				return true;
		}
	}
	return false;
}

static int on_changed(void *arg)
{
	(void)arg;
	return 0;
}

/* Nothing is removed from a resolver that lives this short. */
static int on_used(void *arg, int (*each)(const struct prefix *peer, void *cookie), void *cookie)
{
	(void)arg;
	(void)each;
	(void)cookie;
	return 0;
}

/* Has the resolver know the addresses that count now. Without them, look-ups alone decide. */
static void recall(struct resolver *resolver, const struct data_plane *plane)
{
	struct config running = {0};
	struct error ignored;
	uint32_t generation;

	if (!plane || rules_map_config(plane, false, &running, &generation, &ignored))
		return;
	resolver_set_names(resolver, &running, &ignored);
	config_free(&running);
}

static int resolve(const struct data_plane *plane, const struct log *log, struct config *config,
		   struct error *e)
{
	struct resolver *resolver = NULL;
	sd_event *event = NULL;
	int err = sd_event_new(&event);

	if (err < 0)
		return error_set(e, -err, "looking up host names: %s", strerror(-err));
	err = resolver_new(&resolver, event, log, on_changed, on_used, NULL, e);
	if (!err) {
		recall(resolver, plane);
		err = resolver_set_names(resolver, config, e);
	}
	if (!err) {
		resolver_wait(resolver, NAMES_WAIT_MS);
		err = resolver_fill(resolver, config, e);
	}
	resolver_free(resolver);
	sd_event_unref(event);
	return err;
}

int preview_config(const struct data_plane *plane, struct config *config, struct error *e)
{
	struct windows *windows;
	struct log log;
	int err = 0;

	log_init(&log, false);
	log.most = LOG_LEVEL_WARNING;
	if (has_names(config))
		err = resolve(plane, &log, config, e);
	if (err || !plane)
		return err;
	windows = windows_new(&log, plane);
	if (!windows)
		return error_set(e, ENOMEM, "out of memory");
	windows_take_over(windows, plane);
	err = windows_prepare(windows, config, e);
	windows_free(windows);
	return err;
}
