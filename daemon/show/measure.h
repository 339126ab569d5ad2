/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How `holdfast measure` looks: while it goes on, and what it has found. */
#ifndef HOLDFAST_SHOW_MEASURE_H
#define HOLDFAST_SHOW_MEASURE_H

#include "measure/run.h"

/* What goes on: on a terminal a block of lines that is kept up to date, else a line for each
 * finding; with `quiet` neither. */
struct measure_display {
	bool terminal, quiet;
	unsigned lines;	  /* of the block that is there */
	unsigned columns; /* that a line may have */
};

/* The callbacks that show it; display outlives them. */
struct measure_watch measure_display_watch(struct measure_display *display);

/* What was found, and the line to write; where nothing was, what is known so far. */
void measure_show_result(const struct measure *measure);

/* The same as JSON. why: why it couldn't be measured, NULL: it could. -ENOMEM. */
int measure_show_json(const struct measure *measure, const char *why);

/* "mysql -h 10.0.0.1": a command that fits the port; for others, several. */
void measure_examples(const struct search_peer *peer, char *text, size_t size);

#endif
