/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sorts the ports into classes. The ends of all port ranges of one side cut the ports 1 to 65535
 * into pieces; the same rules apply throughout a piece. Pieces with the same set of rules share a
 * class.
 */
#ifndef HOLDFAST_RULES_PORT_CLASSES_H
#define HOLDFAST_RULES_PORT_CLASSES_H

#include "rules/rules.h"

struct port_piece {
	uint32_t first;	 /* from this port on, up to the next piece */
	uint32_t class_; /* counted from 1; 0: no rule applies */
};

struct port_classes {
	struct port_piece *list; /* sorted by port; owned */
	size_t n;
};

/* Gets the rules of one class, as indices into the configuration's rules, in no order. Returns 0,
 * or another value to stop. */
typedef int (*port_class_fn)(uint32_t class_, const size_t *rules, size_t n, void *arg);

/*
 * Finds the pieces and classes of one side. fn is called once for each class, in the order of their
 * numbers. Returns 0, -ENOMEM, or what fn returned to stop. The caller frees *classes with
 * port_classes_free(), also after a failure.
 */
int port_classes_find(const struct config *config, enum hf_side side, struct port_classes *classes,
		      port_class_fn fn, void *arg);
void port_classes_free(struct port_classes *classes);

#endif
