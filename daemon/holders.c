// SPDX-License-Identifier: GPL-2.0-or-later
#include "holders.h"

#include "iter.h"
#include "util.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* Removes the sets of readers that were killed before they could. */
static void forget_dead(int sets)
{
	uint32_t reader, next;
	bool more = bpf_map_get_next_key(sets, NULL, &next) == 0;

	while (more) {
		reader = next;
		more = bpf_map_get_next_key(sets, &reader, &next) == 0;
		if (kill((pid_t)reader, 0) < 0 && errno == ESRCH)
			bpf_map_delete_elem(sets, &reader);
	}
}

static int put(int sets, uint32_t reader, int set)
{
	if (bpf_map_update_elem(sets, &reader, &set, BPF_ANY) == 0)
		return 0;
	forget_dead(sets);
	return bpf_map_update_elem(sets, &reader, &set, BPF_ANY);
}

void holders_begin(struct holders *holders, const struct pins *pins)
{
	_cleanup_close_ int sets = -1, set = -1;

	*holders =
		(struct holders){.pins = pins, .sets = -1, .set = -1, .reader = (uint32_t)getpid()};
	if (!pins_has(pins, PIN_HOLDERS))
		return;
	sets = pins_get(pins, PIN_WANTED, NULL);
	set = sets < 0 ? -1
		       : bpf_map_create(BPF_MAP_TYPE_HASH, "hf_wanted_set", sizeof(uint64_t),
					sizeof(uint64_t), HF_WANTED_MAX, NULL);
	if (set < 0 || put(sets, holders->reader, set) < 0)
		return;
	holders->sets = take_fd(&sets);
	holders->set = take_fd(&set);
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The cookies in the set, sorted: what the iterators know of. Their number. */
static size_t read_set(int set, uint64_t cookies[HF_WANTED_MAX])
{
	uint64_t file, next, *last = NULL;
	size_t n = 0;

	while (n < HF_WANTED_MAX && bpf_map_get_next_key(set, last, &next) == 0) {
		file = next;
		last = &file;
		if (bpf_map_lookup_elem(set, &file, &cookies[n]) == 0)
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

	if (holders->set < 0)
		return -ENOTSUP;
	n_known = read_set(holders->set, known);
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
	if (holders->sets >= 0) {
		bpf_map_delete_elem(holders->sets, &holders->reader);
		close(holders->sets);
	}
	if (holders->set >= 0)
		close(holders->set);
	holders->sets = holders->set = -1;
}
