// SPDX-License-Identifier: GPL-2.0-or-later
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>

void address_format(char *text, size_t size, uint8_t family, const uint8_t address[16])
{
	inet_ntop(family == 4 ? AF_INET : AF_INET6, address, text, (socklen_t)size);
}

void endpoint_format(char *text, size_t size, uint8_t family, const uint8_t address[16],
		     uint16_t port)
{
	char bare[ADDRESS_TEXT_MAX];

	address_format(bare, sizeof(bare), family, address);
	if (family == 4)
		snprintf(text, size, "%s:%u", bare, port);
	else
		snprintf(text, size, "[%s]:%u", bare, port);
}
