// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes datagrams of rtnetlink. Each is preceded by its length in two bytes and the number of its
 * namespace, plus 1, in one.
 */
#include "fuzz.h"

#include "host/rtnl.h"

static void check_change(const struct rtnl_change *change)
{
	char text[PREFIX_TEXT_MAX];

	if (change->what == RTNL_LINK || change->what == RTNL_ANY)
		return;
	check(change->prefix.family == 4 || change->prefix.family == 6);
	check(change->prefix.len <= (change->prefix.family == 4 ? 32 : 128));
	prefix_format(&change->prefix, text, sizeof(text));
}

void fuzz_rtnl(const uint8_t *data, size_t size)
{
	static struct rtnl *rtnl;
	const struct rtnl_change *changes;
	struct error e = {0};
	size_t n, i, length;
	uint8_t *datagram;
	int events, nsid;

	if (!rtnl)
		check(rtnl_open(&rtnl, &e) == 0);
	while (size >= 3) {
		length = data[0] | (size_t)data[1] << 8;
		nsid = data[2] - 1;
		data += 3;
		size -= 3;
		length = length < size ? length : size;
		datagram = malloc(length ? length : 1);
		check(datagram);
		memcpy(datagram, data, length);
		events = rtnl_take(rtnl, datagram, length, nsid);
		check(!(events & ~(RTNL_NAMESPACE | RTNL_PATH | RTNL_OVERRUN)));
		free(datagram);
		data += length;
		size -= length;
	}
	changes = rtnl_changes(rtnl, &n);
	for (i = 0; i < n; i++)
		check_change(&changes[i]);
	rtnl_forget(rtnl);
}
