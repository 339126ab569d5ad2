/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives held sockets back: when holdfast stops, and those that another version has left. */
#ifndef HOLDFAST_SOCKETS_RELEASE_H
#define HOLDFAST_SOCKETS_RELEASE_H

#include "kernel/data_plane.h"

/*
 * Undoes everything: drops the rules, detaches the programs, gives every held socket the settings
 * back that its application had, and removes the pins; with remove_dir the pin dir, too. *restored
 * counts the sockets given back, *left those that couldn't be reached or on which the kernel
 * refused. Needs the pin dir locked. Goes on after a failure, but then keeps the pins, and returns
 * the first error, negative.
 */
int release_all(struct data_plane *plane, bool remove_dir, size_t *restored, size_t *left,
		struct error *e);

/*
 * Removes what versions of holdfast with another layout have left in the pin dir: drops their
 * rules, gives their sockets back, detaches their programs and removes their pins. Our programs
 * are attached by then, and the next reconcile pass holds the sockets again. Returns 0, also if
 * there are no other layouts, or a negative errno, and then their rules are in force again.
 */
int release_others(const struct data_plane *plane, struct error *e);

#endif
