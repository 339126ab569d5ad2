// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes answers of connection tracking and IPVS, and lines of IPVS's table. The first byte says
 * which.
 */
#include "fuzz.h"

#include "host/conntrack.h"
#include "host/ipvs.h"

static void table(const uint8_t *data, size_t size)
{
	const struct conntrack_flow flow = {.family = 4, .peer_port = 3306};
	char *line = to_string(data, size);
	struct ipvs_service service;

	if (ipvs_service_parse(line, &service)) {
		check(service.family == 0 || service.family == 4 || service.family == 6);
		ipvs_serves(&service, &flow);
	}
	free(line);
}

static void datagram(uint8_t kind, const uint8_t *data, size_t size)
{
	struct conntrack_entry entry = {0};
	struct error e = {0};
	int64_t ret;

	if (kind == 0)
		ret = conntrack_take(data, size, &entry, &e);
	else if (kind == 1)
		ret = ipvs_take_family(data, size, &e);
	else
		ret = ipvs_take_timeout(data, size, &e);
	check(ret >= 0 || e.text[0]);
	check(kind != 1 || ret <= UINT16_MAX);
	if (conntrack_is_settled(&entry))
		check(entry.has_timeout);
}

void fuzz_agers(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	if (!size)
		return;
	if (data[0] % 4 == 3) {
		table(data + 1, size - 1);
		return;
	}
	/* A buffer of exactly this length lets ASan see reads behind the datagram's end. */
	copy = malloc(size > 1 ? size - 1 : 1);
	check(copy);
	memcpy(copy, data + 1, size - 1);
	datagram(data[0] % 4, copy, size - 1);
	free(copy);
}
