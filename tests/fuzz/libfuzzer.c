// SPDX-License-Identifier: GPL-2.0-or-later
/* Defines the entry point that libFuzzer calls, for the fuzz target TARGET. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TARGET(data, size);
	return 0;
}
