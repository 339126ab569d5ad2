/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends of connections as text. */
#ifndef HOLDFAST_ADDRESS_H
#define HOLDFAST_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX  46 /* INET6_ADDRSTRLEN */
#define ENDPOINT_TEXT_MAX 56 /* "[...]:65535" */

/* family 4 or 6; address in network byte order. "10.0.0.1", "2001:db8::1". */
void address_format(char *text, size_t size, uint8_t family, const uint8_t address[16]);

/* "10.0.0.1:3306", "[2001:db8::1]:3306". port in host byte order. */
void endpoint_format(char *text, size_t size, uint8_t family, const uint8_t address[16],
		     uint16_t port);

#endif
