// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>

/* Writes the same text as inet_ntop(), which is slow where a hundred thousand addresses are
 * written. */
static void ipv4_format(char text[ADDRESS_TEXT_MAX], const uint8_t address[4])
{
	int i;

	for (i = 0; i < 4; i++) {
		if (address[i] >= 100)
			*text++ = (char)('0' + address[i] / 100);
		if (address[i] >= 10)
			*text++ = (char)('0' + address[i] / 10 % 10);
		*text++ = (char)('0' + address[i] % 10);
		*text++ = i < 3 ? '.' : '\0';
	}
}

void address_format(char *text, size_t size, uint8_t family, const uint8_t address[16])
{
	if (family == 4 && size >= ADDRESS_TEXT_MAX)
		ipv4_format(text, address);
	else
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
