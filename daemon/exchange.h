/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pins that were made aside, in a folder of their own, go into the places of those
 * that are there; and back, where something fails afterwards. At any moment there is
 * the one or the other: whoever reads meanwhile finds either.
 */
#ifndef HOLDFAST_EXCHANGE_H
#define HOLDFAST_EXCHANGE_H

#include "pins.h"

#define EXCHANGE_MAX 48

struct exchange {
	const struct pins *pins;	 /* the places */
	struct pins aside;		 /* the other folder */
	const char *names[EXCHANGE_MAX]; /* the caller's */
	size_t n, done;
};

/* Makes the folder, empty. */
int exchange_begin(struct exchange *exchange, const struct pins *pins, struct error *e);

/*
 * Pins there what is to go into the place of that name. `fd` -1: that is done already, or there
 * is nothing, and what is in the place is to go. The name has to outlive the exchange.
 */
int exchange_put(struct exchange *exchange, const char *name, int fd, struct error *e);

/* Exchanges all of them, or none. */
int exchange_do(struct exchange *exchange, struct error *e);

/* All as it was before exchange_do(), as far as that got. */
void exchange_undo(struct exchange *exchange);

/* Detaches the link that was in that place, if there was one: also where someone has it open. */
void exchange_detach_old(const struct exchange *exchange, const char *name);

/* The folder goes, with all that is in it, and with what was in the places before. */
void exchange_end(struct exchange *exchange);

#endif
