/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What windows.c, windows_look.c and windows_host.c share: what the rules have learned. */
#ifndef HOLDFAST_SOCKETS_LEARNED_H
#define HOLDFAST_SOCKETS_LEARNED_H

#include "base/clock.h"
#include "base/log.h"
#include "kernel/data_plane.h"
#include "rules/host_window.h"
#include "rules/rules.h"
#include "rules/window.h"
#include "sockets/agers.h"

#include <stdbool.h>

/* A value of the pinned map PIN_WINDOWS; the key is the rule_key() of the rule's name. */
struct pinned_window {
	uint64_t text_hash; /* of the rule as the configuration has it: conf_rule_hash() */
	struct window window;
	struct host_window host;
};

/* What a look finds out of one rule. */
struct seen {
	uint64_t gap_ms, at_ms; /* the longest survived gap, and when it ended (CLOCK_BOOTTIME) */
	uint64_t count;
	uint32_t n_taken; /* peers that have taken a connection since one was forgotten */
	uint8_t taken[WINDOW_PEERS][16];
};

struct learned {
	uint64_t key; /* rule_key() */
	uint16_t said_time_s, said_interval_s;
	uint64_t text_hash;	  /* as in struct pinned_window */
	struct window *window;	  /* owned; NULL: it has learned nothing, as most have */
	struct host_window *host; /* owned; NULL: this host isn't known to forget it */
	struct seen *seen;	  /* owned, while a look is under way; NULL: nothing yet */
};

/* Where a rule is in the list. */
struct learned_place {
	uint64_t key; /* of struct learned */
	size_t index;
};

struct learned_list {
	struct learned *list;	      /* by index of the rule in the configuration; owned */
	struct learned_place *places; /* n of them, sorted by key; owned */
	size_t n;
};

struct windows {
	const struct log *log;
	const struct data_plane *plane;
	struct learned_list now, next;
	int map;	      /* owned; -1: none */
	int64_t suspended_ms; /* CLOCK_BOOTTIME minus CLOCK_MONOTONIC */
	uint64_t looked_ms;   /* CLOCK_BOOTTIME; 0: never */
	unsigned looks;
	struct agers agers; /* the connections that a look asks about */
	uint64_t asked_ms;  /* CLOCK_BOOTTIME of the last look that asked; 0: the next one does */
	bool ask_failed;    /* it couldn't, which has been logged */
	bool changed;	    /* a time in force is new, and not in force yet */
};

/* CLOCK_BOOTTIME. */
static inline uint64_t windows_now_ms(void)
{
	return clock_ns(CLOCK_BOOTTIME) / 1000000u;
}

/* windows.c: the rule of that key, or NULL. */
struct learned *windows_find(const struct learned_list *learned, uint64_t key);

/* Gives a rule the times that follow from what it has learned. */
void windows_set_times(const struct learned *learned, struct rule *rule);

/* Writes what a rule has learned to the pinned map. A rule that has learned nothing needs no entry.
 */
void windows_keep(const struct windows *windows, const struct learned *learned);

/* windows_host.c: whether a look at now_ms (CLOCK_BOOTTIME) asks what this host itself forgets. */
bool windows_asks_host(const struct windows *windows, uint64_t now_ms);

/*
 * Asks about the connections in windows->agers, and removes them. Gives rules the times that
 * follow, and logs changes and windows that are too long.
 */
void windows_ask_host(struct windows *windows, struct config *config, uint64_t now_ms);

#endif
