// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/port_bitmap.h"

#include "base/util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

void port_bitmap_add(struct hf_port_bitmap *gate, const struct rule_entry *entries, size_t n)
{
	uint32_t port, last;
	size_t i;
	int side;

	for (i = 0; i < n; i++) {
		const struct hf_key *key = &entries[i].key;

		if (key->kind != HF_KEY_PORT)
			continue;
		port = (uint32_t)key->port[0] << 8 | key->port[1];
		last = port + (0xffffu >> (key->prefixlen - HF_KEY_PORT_BITS));
		for (; port <= last; port++) {
			for (side = 0; side < 2; side++) {
				if (entries[i].value.ports.class_[side])
					gate->ports[side][port / 64] |= (uint64_t)1 << port % 64;
			}
		}
	}
}

static int put(int map, const struct hf_port_bitmap *gate, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_update_elem(map, &zero, gate, BPF_ANY) < 0)
		return error_set(e, errno, "writing %s: %s", PIN_PORT_BITMAP, strerror(errno));
	return 0;
}

int port_bitmap_widen(const struct pins *pins, const struct hf_port_bitmap *gate, struct error *e)
{
	_cleanup_close_ int map = pins_get(pins, PIN_PORT_BITMAP, e);
	const uint32_t zero = 0;
	struct hf_port_bitmap both;
	size_t i;
	int side;

	if (map < 0)
		return map;
	if (bpf_map_lookup_elem(map, &zero, &both) < 0)
		return error_set(e, errno, "reading %s: %s", PIN_PORT_BITMAP, strerror(errno));
	for (side = 0; side < 2; side++) {
		for (i = 0; i < ARRAY_SIZE(both.ports[side]); i++)
			both.ports[side][i] |= gate->ports[side][i];
	}
	return put(map, &both, e);
}

int port_bitmap_set(const struct pins *pins, const struct hf_port_bitmap *gate, struct error *e)
{
	_cleanup_close_ int map = pins_get(pins, PIN_PORT_BITMAP, e);

	return map < 0 ? map : put(map, gate, e);
}
