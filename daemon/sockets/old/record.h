/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes the record of a socket that this process has open, which the BPF programs read. */
#ifndef HOLDFAST_SOCKETS_OLD_RECORD_H
#define HOLDFAST_SOCKETS_OLD_RECORD_H

#include "bpf/types.h"

/*
 * Overwrites the record of the socket fd, which must have one. sockets_fd is the map PIN_SOCKETS.
 * If the kernel has no memory for it, waits for a moment. Returns 0 or negative errno.
 */
int old_record_write(int sockets_fd, int fd, const struct hf_record *record);

/*
 * Marks a record as hushed: once it is written, the guard lets every option of the socket pass. The
 * guard would take options that the daemon sets for the application's. The record's generation
 * becomes 0, so that the next pass decides again if the daemon is killed before it writes the final
 * record.
 */
void old_record_hush(struct hf_record *record);

#endif
