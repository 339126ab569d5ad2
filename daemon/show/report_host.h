/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of a report that come from the host, and not from holdfast. */
#ifndef HOLDFAST_SHOW_REPORT_HOST_H
#define HOLDFAST_SHOW_REPORT_HOST_H

#include <stdio.h>

/* Versions of holdfast, its libraries, the kernel and the distribution. */
void report_versions(FILE *out);

/* What decides whether and how holdfast can work here: a line for each. */
void report_kernel(FILE *out);

/* The daemon's last lines in the journal, each with its time (UTC). */
void report_log(FILE *out);

#endif
