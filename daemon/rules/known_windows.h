/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The windows that are known of clouds, balancers and firewalls: the one table of them. */
#ifndef HOLDFAST_RULES_KNOWN_WINDOWS_H
#define HOLDFAST_RULES_KNOWN_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

struct known_window {
	uint32_t s;	 /* the path forgets a flow that idles this long */
	const char *who; /* "AWS Network Load Balancer, NAT gateway" */
};

/* All of them, the shortest first; *n: how many. */
const struct known_window *known_windows(size_t *n);

#endif
