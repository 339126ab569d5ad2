/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decides for one socket of a preview what it would get, and judges what it has. */
#ifndef HOLDFAST_SOCKETS_PREVIEW_PLAN_H
#define HOLDFAST_SOCKETS_PREVIEW_PLAN_H

#include "sockets/snapshot.h"

struct preview_plan {
	uint64_t cookie;
	/* What it is made from. */
	struct hf_rule rule;
	struct hf_keepalive sysctls; /* of the socket's network namespace */
	struct hf_record record;     /* what a holdfast that is attached knows; zeros: nothing */
	/* What comes out. */
	struct hf_keepalive would;
	bool alone; /* it would be left alone */
};
_Static_assert(offsetof(struct preview_plan, cookie) == 0, "it is what they are sorted by");

/*
 * Makes the plan, and judges the socket (socket->verdict). socket has in `now` what getsockopt()
 * says, with sysctls where a number is unset; a probe's time is replaced there by the one that
 * follows. plan->record is used up.
 */
void preview_plan_make(struct preview_plan *plan, struct snapshot_socket *socket);

#endif
