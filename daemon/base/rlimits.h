/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raises resource limits of the process. */
#ifndef HOLDFAST_BASE_RLIMITS_H
#define HOLDFAST_BASE_RLIMITS_H

/* Raises the limit of open descriptors to the hard limit: a look at all network namespaces holds
 * one descriptor for each. */
void rlimits_raise_files(void);

#endif
