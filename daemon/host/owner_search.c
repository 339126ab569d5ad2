// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/owner_search.h"

#include "base/u64_set.h"
#include "base/util.h"
#include "host/environment.h"
#include "kernel/iter.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* Reads the keys of all readers. Returns how many there are. */
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

/* Removes our entries, and those of readers that were killed before they removed theirs. */
static void forget(int map, uint32_t reader)
{
	struct hf_wanted keys[HF_WANTED_ROOM];
	size_t i, n = read_keys(map, keys);

	for (i = 0; i < n; i++) {
		if (keys[i].reader == reader || is_gone(keys[i].reader))
			bpf_map_delete_elem(map, &keys[i]);
	}
}

void owner_search_begin(struct owner_search *holders, const struct pins *pins)
{
	_cleanup_close_ int map = -1;
	struct hf_wanted registration = {.reader = (uint32_t)getpid()};
	const uint64_t left = HF_WANTED_MAX;
	struct error ignored;

	*holders = (struct owner_search){.pins = pins, .map = -1, .reader = registration.reader};
	/*
	 * The map knows readers by their PIDs on the host. A process in a PID namespace of its own
	 * knows neither its own nor which readers are gone.
	 */
	if (!pins_has(pins, PIN_HOLDERS) || environment_check_processes(&ignored))
		return;
	map = pins_get(pins, PIN_WANTED, NULL);
	if (map < 0)
		return;
	forget(map, holders->reader);
	if (bpf_map_update_elem(map, &registration, &left, BPF_ANY) == 0)
		holders->map = take_fd(&map);
}

/* Reads the cookies that the iterators have remembered for us, sorted. Returns how many. */
static size_t read_cookies(const struct owner_search *holders, uint64_t cookies[HF_WANTED_MAX])
{
	struct hf_wanted keys[HF_WANTED_ROOM];
	size_t i, n_keys = read_keys(holders->map, keys), n = 0;

	for (i = 0; i < n_keys && n < HF_WANTED_MAX; i++) {
		if (keys[i].file && keys[i].reader == holders->reader &&
		    bpf_map_lookup_elem(holders->map, &keys[i], &cookies[n]) == 0)
			n++;
	}
	sort_by_u64(cookies, n, sizeof(*cookies));
	return n;
}

int owner_search_find(const struct owner_search *holders, const uint64_t *cookies, size_t n,
		      struct owners *owners)
{
	uint64_t known[HF_WANTED_MAX];
	_cleanup_close_ int fd = -1;
	size_t i, n_known;

	if (holders->map < 0)
		return -ENOTSUP;
	n_known = read_cookies(holders, known);
	for (i = 0; i < n; i++) {
		if (!sorted_find(known, n_known, sizeof(*known), cookies[i]))
			return -ENOTSUP;
	}
	fd = iter_open(holders->pins, PIN_HOLDERS, NULL);
	if (fd < 0 || owners_read(fd, owners, NULL) < 0)
		return -ENOTSUP;
	return 0;
}

void owner_search_end(struct owner_search *holders)
{
	if (holders->map < 0)
		return;
	forget(holders->map, holders->reader);
	close(holders->map);
	holders->map = -1;
}
