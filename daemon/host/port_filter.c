// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/port_filter.h"

#include "base/util.h"
#include "conf/value.h"

#include <errno.h>
#include <linux/inet_diag.h>

/*
 * A range takes three instructions, 20 bytes, and a jump reaches 16 bits far. If the rules name
 * more ranges than that allows, the filter is one range from the lowest port to the highest.
 */
#define RANGE_BYTES 20u
#define RANGES_MAX  1000u

static size_t merge(struct port_range *ranges, size_t n)
{
	n = value_merge_ports(ranges, n);
	if (n > RANGES_MAX / 2) {
		ranges[0].last = ranges[n - 1].last;
		n = 1;
	}
	return n;
}

int port_filter_init(struct port_filter *filter, const struct config *config)
{
	size_t i, j, total = 0;
	int side;

	*filter = (struct port_filter){0};
	for (i = 0; i < config->n_rules; i++)
		total += config->rules[i].n_ports;
	for (side = 0; side < 2; side++) {
		filter->ranges[side] = calloc(total + 1, sizeof(struct port_range));
		if (!filter->ranges[side]) {
			port_filter_free(filter);
			return -ENOMEM;
		}
	}
	for (i = 0; i < config->n_rules; i++) {
		const struct rule *rule = &config->rules[i];

		for (j = 0; j < rule->n_ports; j++) {
			if (rule->side != RULE_SIDE_SERVER)
				filter->ranges[HF_SIDE_CLIENT][filter->n[HF_SIDE_CLIENT]++] =
					rule->ports[j];
			if (rule->side != RULE_SIDE_CLIENT)
				filter->ranges[HF_SIDE_SERVER][filter->n[HF_SIDE_SERVER]++] =
					rule->ports[j];
		}
	}
	for (side = 0; side < 2; side++)
		filter->n[side] = merge(filter->ranges[side], filter->n[side]);
	return 0;
}

void port_filter_free(struct port_filter *filter)
{
	free(filter->ranges[0]);
	free(filter->ranges[1]);
	*filter = (struct port_filter){0};
}

size_t port_filter_size(const struct port_filter *filter)
{
	return (filter->n[0] + filter->n[1]) * RANGE_BYTES + sizeof(struct inet_diag_bc_op);
}

/*
 * Each range becomes "if port >= first and port <= last, jump to the end", which accepts. A socket
 * that no range has comes to the last instruction, which jumps beyond the end, and so rejects it
 * (inet_diag_bc_run()). The port of a comparison stands in the `no` of the instruction after it.
 */
size_t port_filter_compile(const struct port_filter *filter, struct inet_diag_bc_op *ops)
{
	static const uint8_t at_least[2] = {INET_DIAG_BC_D_GE, INET_DIAG_BC_S_GE};
	static const uint8_t at_most[2] = {INET_DIAG_BC_D_LE, INET_DIAG_BC_S_LE};
	size_t total = port_filter_size(filter);
	size_t at = 0, i;
	int side;

	for (side = 0; side < 2; side++) {
		for (i = 0; i < filter->n[side]; i++) {
			const struct port_range *range = &filter->ranges[side][i];

			ops[0] = (struct inet_diag_bc_op){at_least[side], 8, RANGE_BYTES};
			ops[1] = (struct inet_diag_bc_op){INET_DIAG_BC_NOP, 4, range->first};
			ops[2] = (struct inet_diag_bc_op){at_most[side], 8, RANGE_BYTES - 8};
			ops[3] = (struct inet_diag_bc_op){INET_DIAG_BC_NOP, 4, range->last};
			ops[4] = (struct inet_diag_bc_op){INET_DIAG_BC_JMP, 4,
							  (uint16_t)(total - at - 16)};
			ops += RANGE_BYTES / sizeof(*ops);
			at += RANGE_BYTES;
		}
	}
	*ops = (struct inet_diag_bc_op){INET_DIAG_BC_JMP, 4, 8}; /* reject */
	return total;
}
