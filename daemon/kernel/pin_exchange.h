/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replaces a set of pins by one that was made aside, in a folder of its own, and takes that back
 * if something fails afterwards. A process that opens a pin during the exchange finds the old or
 * the new one, never none.
 */
#ifndef HOLDFAST_KERNEL_PIN_EXCHANGE_H
#define HOLDFAST_KERNEL_PIN_EXCHANGE_H

#include "kernel/pins.h"

#define PIN_EXCHANGE_MAX 48

struct pin_exchange {
	const struct pins *pins;	     /* the folder whose pins are replaced; the caller's */
	struct pins aside;		     /* the folder of the new pins, later of the old ones */
	const char *names[PIN_EXCHANGE_MAX]; /* the caller's */
	size_t n, done;			     /* names; how many of them are exchanged */
};

/* Makes the folder aside, empty. Returns 0 or negative errno. */
int pin_exchange_begin(struct pin_exchange *exchange, const struct pins *pins, struct error *e);

/*
 * Adds a name to the exchange, and pins `fd` aside under that name. If `fd` is -1, the caller has
 * pinned it there, or nothing is there and the exchange only removes the old pin. The name has to
 * outlive the exchange. Returns 0 or negative errno.
 */
int pin_exchange_put(struct pin_exchange *exchange, const char *name, int fd, struct error *e);

/* Exchanges all pins. On failure takes back what it has done, and returns negative errno. */
int pin_exchange_do(struct pin_exchange *exchange, struct error *e);

/* Takes back what pin_exchange_do() has done. */
void pin_exchange_undo(struct pin_exchange *exchange);

/*
 * Detaches the old link of that name, if there was one. It is detached by force, since another
 * process may have it open.
 */
void pin_exchange_detach_old(const struct pin_exchange *exchange, const char *name);

/* Removes the folder aside with all that is in it: the old pins, and new ones not exchanged. */
void pin_exchange_end(struct pin_exchange *exchange);

#endif
