/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel lets us have. */
#ifndef HOLDFAST_LIMITS_H
#define HOLDFAST_LIMITS_H

/* As many descriptors as we may have: a look at all network namespaces holds one for each. */
void limits_raise_files(void);

#endif
