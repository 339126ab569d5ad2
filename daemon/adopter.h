/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user space finds out only once for all namespaces of a round, where it does the sweep. */
#ifndef HOLDFAST_ADOPTER_H
#define HOLDFAST_ADOPTER_H

#include "grab.h"
#include "owners.h"
#include "plane.h"
#include "scope.h"
#include "sockdiag.h"

struct adopter {
	const struct plane *plane;
	struct grabber grabber;
	bool prepared; /* the rest is filled in; owned */
	struct owners owners;
	struct config config;
	struct port_filter filter; /* of that configuration */
	struct scope scope;
};

#define ADOPTER_INIT(p)                                                                            \
	{                                                                                          \
		.plane = (p), .grabber = GRABBER_INIT, .scope = {.fd = -1 }                        \
	}

/* Fills in the rest, the first time. Negative errno. */
int adopter_prepare(struct adopter *adopter, struct error *e);
void adopter_free(struct adopter *adopter);

#endif
