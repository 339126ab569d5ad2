// SPDX-License-Identifier: GPL-2.0-or-later
#include "holders.h"

#include "iter.h"
#include "place.h"
#include "util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* What is wanted, by all readers. Their number. */
static size_t read_keys(int map, struct hf_wanted keys[HF_WANTED_ROOM])
{
	size_t n = 0;

	while (n < HF_WANTED_ROOM &&
	       bpf_map_get_next_key(map, n ? &keys[n - 1] : NULL, &keys[n]) == 0)
		n++;
	return n;
}

static bool is_gone(uint32_t reader)
{
	return kill((pid_t)reader, 0) < 0 && errno == ESRCH;
}

/* Takes away what we wanted, and what readers did that were killed before they could. */
static void forget(int map, uint32_t reader)
{
	struct hf_wanted keys[HF_WANTED_ROOM];
	size_t i, n = read_keys(map, keys);

	for (i = 0; i < n; i++) {
		if (keys[i].reader == reader || is_gone(keys[i].reader))
			bpf_map_delete_elem(map, &keys[i]);
	}
}

void holders_begin(struct holders *holders, const struct pins *pins)
{
	_cleanup_close_ int map = -1;
	struct hf_wanted registration = {.reader = (uint32_t)getpid()};
	const uint64_t left = HF_WANTED_MAX;
	struct error ignored;

	*holders = (struct holders){.pins = pins, .map = -1, .reader = registration.reader};
	/* In a PID namespace of its own it can't tell which readers are gone, nor who it is. */
	if (!pins_has(pins, PIN_HOLDERS) || place_check_processes(&ignored))
		return;
	map = pins_get(pins, PIN_WANTED, NULL);
	if (map < 0)
		return;
	forget(map, holders->reader);
	if (bpf_map_update_elem(map, &registration, &left, BPF_ANY) == 0)
		holders->map = take_fd(&map);
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The cookies of what we want, sorted: what the iterators know of. Their number. */
static size_t read_cookies(const struct holders *holders, uint64_t cookies[HF_WANTED_MAX])
{
	struct hf_wanted keys[HF_WANTED_ROOM];
	size_t i, n_keys = read_keys(holders->map, keys), n = 0;

	for (i = 0; i < n_keys && n < HF_WANTED_MAX; i++) {
		if (keys[i].file && keys[i].reader == holders->reader &&
		    bpf_map_lookup_elem(holders->map, &keys[i], &cookies[n]) == 0)
			n++;
	}
	qsort(cookies, n, sizeof(*cookies), by_number);
	return n;
}

int holders_find(const struct holders *holders, const uint64_t *cookies, size_t n,
		 struct owners *owners)
{
	uint64_t known[HF_WANTED_MAX];
	_cleanup_close_ int fd = -1;
	size_t i, n_known;

	if (holders->map < 0)
		return -ENOTSUP;
	n_known = read_cookies(holders, known);
	for (i = 0; i < n; i++) {
		if (!n_known || !bsearch(&cookies[i], known, n_known, sizeof(*known), by_number))
			return -ENOTSUP;
	}
	fd = iter_open(holders->pins, PIN_HOLDERS, NULL);
	if (fd < 0 || owners_read(fd, owners, NULL) < 0)
		return -ENOTSUP;
	return 0;
}

void holders_end(struct holders *holders)
{
	if (holders->map < 0)
		return;
	forget(holders->map, holders->reader);
	close(holders->map);
	holders->map = -1;
}
