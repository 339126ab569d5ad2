// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/old/round.h"

#include "kernel/rules_map.h"

int old_round_find_owners(struct old_round *round, struct error *e)
{
	int err = round->found_owners ? 0 : owners_find_by_inode(&round->owners, e);

	round->found_owners = !err;
	return err;
}

int old_round_prepare(struct old_round *round, struct error *e)
{
	uint32_t generation;
	int err;

	if (round->prepared)
		return 0;
	err = old_round_find_owners(round, e);
	if (!err)
		err = rules_map_config(round->plane, false, &round->config, &generation, e);
	if (!err)
		err = port_filter_init(&round->filter, &round->config);
	if (err) {
		config_free(&round->config);
		return e && e->text[0] ? err : error_set(e, -err, "out of memory");
	}
	scope_open(&round->scope, round->plane);
	round->prepared = true;
	return 0;
}

void old_round_free(struct old_round *round)
{
	pidfd_helper_close(&round->helper);
	owners_free(&round->owners);
	round->found_owners = false;
	if (!round->prepared)
		return;
	port_filter_free(&round->filter);
	config_free(&round->config);
	scope_close(&round->scope);
	round->prepared = false;
}
