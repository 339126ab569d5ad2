// SPDX-License-Identifier: GPL-2.0-or-later
#include "adopter.h"

int adopter_prepare(struct adopter *adopter, struct error *e)
{
	uint32_t generation;
	int err;

	if (adopter->prepared)
		return 0;
	err = owners_find_by_inode(&adopter->owners, e);
	if (!err)
		err = plane_get_config(adopter->plane, false, &adopter->config, &generation, e);
	if (!err)
		err = port_filter_init(&adopter->filter, &adopter->config);
	if (err) {
		owners_free(&adopter->owners);
		config_free(&adopter->config);
		return e && e->text[0] ? err : error_set(e, -err, "out of memory");
	}
	scope_open(&adopter->scope, adopter->plane);
	adopter->prepared = true;
	return 0;
}

void adopter_free(struct adopter *adopter)
{
	grabber_close(&adopter->grabber);
	if (!adopter->prepared)
		return;
	owners_free(&adopter->owners);
	port_filter_free(&adopter->filter);
	config_free(&adopter->config);
	scope_close(&adopter->scope);
	adopter->prepared = false;
}
