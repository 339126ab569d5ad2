/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Formats addresses and endpoints (address and port) as text. */
#ifndef HOLDFAST_BASE_ADDRESS_H
#define HOLDFAST_BASE_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX  46 /* INET6_ADDRSTRLEN */
#define ENDPOINT_TEXT_MAX 56 /* "[...]:65535" */

/*
 * Writes an address: "10.0.0.1", "2001:db8::1". family is 4 or 6; address is in network byte
 * order. ADDRESS_TEXT_MAX bytes suffice.
 */
void address_format(char *text, size_t size, uint8_t family, const uint8_t address[16]);

/*
 * Writes an address and a port: "10.0.0.1:3306", "[2001:db8::1]:3306". port is in host byte
 * order. ENDPOINT_TEXT_MAX bytes suffice.
 */
void endpoint_format(char *text, size_t size, uint8_t family, const uint8_t address[16],
		     uint16_t port);

#endif
