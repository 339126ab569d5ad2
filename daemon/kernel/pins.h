/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pins, opens and removes holdfast's maps, links, iterators and programs on the bpffs.
 *
 *   PIN-DIR/                  locked (flock) by the daemon for as long as it runs
 *   PIN-DIR/layout-N/         N: HF_LAYOUT of types.h
 *       hf_rules hf_port_bitmap hf_sockets hf_info                  maps
 *       hf_counters hf_ends hf_targets hf_wanted hf_listeners       maps
 *       hf_config hf_reload   maps with a text: the rules, how the last reload went
 *       hf_daemon             map with a text: what the daemon has counted
 *       hf_survey hf_sweep hf_probe hf_held hf_settled hf_matched   iterators
 *       hf_owners hf_holders hf_strays hf_tasks                     iterators
 *       hf_held_here hf_settled_here hf_look_here   in place of those without "here", on
 *                             kernels that refuse iterators over maps
 *       hf_closed             iterator; hf_closed_files in its place on such kernels
 *       hf_look               in place of hf_sweep and hf_probe, on kernels before 5.15
 *       hf_guard_program      program, to be attached when the rules come to need it
 *       hf_ended_program      program, to be attached, also again, when other programs keep
 *                             hf_sockops from hearing of ends
 *       hf_ended hf_guard     links
 *       hf_sockops            link; while it is here, holdfast is attached
 */
#ifndef HOLDFAST_KERNEL_PINS_H
#define HOLDFAST_KERNEL_PINS_H

#include "kernel/pin_dir.h"

#define PIN_RULES	  "hf_rules"
#define PIN_PORT_BITMAP	  "hf_port_bitmap"
#define PIN_SOCKETS	  "hf_sockets"
#define PIN_INFO	  "hf_info"
#define PIN_CONFIG	  "hf_config"
#define PIN_CONFIG_STAGED "hf_config_new"
#define PIN_RELOAD	  "hf_reload"
#define PIN_DAEMON	  "hf_daemon"
#define PIN_WINDOWS	  "hf_windows"
#define PIN_TARGETS	  "hf_targets"
#define PIN_PROBE	  "hf_probe"
#define PIN_COUNTERS	  "hf_counters"
#define PIN_ENDS	  "hf_ends"
#define PIN_SURVEY	  "hf_survey"
#define PIN_SWEEP	  "hf_sweep"
#define PIN_HELD	  "hf_held"
#define PIN_HELD_HERE	  "hf_held_here"
#define PIN_SETTLED	  "hf_settled"
#define PIN_SETTLED_HERE  "hf_settled_here"
#define PIN_MATCHED	  "hf_matched"
#define PIN_OWNERS	  "hf_owners"
#define PIN_HOLDERS	  "hf_holders"
#define PIN_WANTED	  "hf_wanted"
#define PIN_LISTENERS	  "hf_listeners"
#define PIN_STRAYS	  "hf_strays"
#define PIN_TASKS	  "hf_tasks"
#define PIN_CLOSED	  "hf_closed"
#define PIN_CLOSED_FILES  "hf_closed_files"
#define PIN_LOOK	  "hf_look"
#define PIN_LOOK_HERE	  "hf_look_here"
#define PIN_ENDED	  "hf_ended"
#define PIN_ENDED_PROGRAM "hf_ended_program"
#define PIN_GUARD	  "hf_guard"
#define PIN_GUARD_PROGRAM "hf_guard_program"
#define PIN_SOCKOPS	  "hf_sockops"

/* Writes the path of a pin to `path`, of size PATH_MAX. */
void pins_path(const struct pins *pins, const char *name, char *path, size_t size);

/* Returns whether a pin of that name is there. */
bool pins_has(const struct pins *pins, const char *name);

/*
 * Opens a pinned map, link or program. Returns a descriptor, the caller's to close, or negative
 * errno.
 */
int pins_get(const struct pins *pins, const char *name, struct error *e);

/* Pins fd under that name, in one step in place of what was there. Returns 0 or negative errno. */
int pins_put(const struct pins *pins, const char *name, int fd, struct error *e);

/*
 * pins_put() in two steps, for work that belongs between them. pins_stage() pins fd beside the old
 * pin under another name, pins_publish() moves it into the old one's place, pins_unstage() removes
 * it instead.
 */
int pins_stage(const struct pins *pins, const char *name, int fd, struct error *e);
int pins_publish(const struct pins *pins, const char *name, struct error *e);
void pins_unstage(const struct pins *pins, const char *name);

/* Removes a pin. Returns 0, also if there is none, or negative errno. */
int pins_drop(const struct pins *pins, const char *name, struct error *e);

/*
 * Removes every pin of this layout, also those that an interrupted start has left half-made. With
 * `dir` also removes the pin dir if it is empty then. Returns 0 or negative errno.
 */
int pins_remove(struct pins *pins, bool dir, struct error *e);

/* Removes the folder pins->sub, of whatever layout, with its pins. Returns 0 or negative errno. */
int pins_remove_folder(const struct pins *pins, struct error *e);

/*
 * pins_begin() makes a folder for a new set of pins beside the final one, into which pins_put()
 * pins from then on. pins_commit() moves that folder into the final one's place. Both return 0 or
 * negative errno.
 */
int pins_begin(struct pins *pins, struct error *e);
int pins_commit(struct pins *pins, struct error *e);

#endif
