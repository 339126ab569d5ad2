// SPDX-License-Identifier: GPL-2.0-or-later
#include "counters.h"

#include "cookies.h"
#include "map_insert.h"
#include "util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Those of one rule, by user space as well (struct hf_counters). */
static int add_keys(struct cookies *keys, const struct config *config)
{
	size_t i;

	for (i = 0; i < config->n_rules; i++) {
		if (cookies_add(keys, rule_key(config->rules[i].name)) ||
		    cookies_add(keys, ~rule_key(config->rules[i].name)))
			return -ENOMEM;
	}
	return 0;
}

/* Those of the rules that are in force still count, if the new ones don't come to be. */
static int find_needed(const struct plane *plane, const struct config *config, struct cookies *keys)
{
	struct config running = {0};
	uint32_t generation;
	int err;

	err = add_keys(keys, config);
	if (!err && !plane_get_config(plane, false, &running, &generation, NULL))
		err = add_keys(keys, &running);
	config_free(&running);
	return err;
}

/* Removes the counters of all other rules. */
static int make_room(const struct plane *plane, int map, const struct config *config)
{
	struct cookies needed = {0};
	uint64_t key, next;
	bool more;
	int err = find_needed(plane, config, &needed);

	more = !err && bpf_map_get_next_key(map, NULL, &next) == 0;
	while (more) {
		key = next;
		more = bpf_map_get_next_key(map, &key, &next) == 0;
		if (!cookies_have(&needed, key))
			bpf_map_delete_elem(map, &key);
	}
	cookies_free(&needed);
	return err;
}

static int make(int map, const struct config *config, const struct hf_counters *zero, size_t *at)
{
	uint64_t key;
	int err;

	for (; *at < config->n_rules; (*at)++) {
		key = rule_key(config->rules[*at].name);
		err = map_insert(map, &key, zero, BPF_NOEXIST);
		if (err && err != -EEXIST)
			return err;
	}
	return 0;
}

int counters_make(const struct plane *plane, const struct config *config, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_COUNTERS, e);
	int cpus = libbpf_num_possible_cpus(), err;
	_cleanup_free_ struct hf_counters *zero = NULL;
	size_t at = 0;

	if (map < 0)
		return map;
	zero = cpus > 0 ? calloc((size_t)cpus, sizeof(*zero)) : NULL;
	if (!zero)
		return error_set(e, ENOMEM, "out of memory");
	err = make(map, config, zero, &at);
	if (err == -E2BIG) {
		err = make_room(plane, map, config);
		if (!err)
			err = make(map, config, zero, &at);
	}
	if (err == -E2BIG)
		return error_set(e, E2BIG, "there are too many rules: %zu of %zu can be counted",
				 at, config->n_rules);
	return err ? error_set(e, -err, "can't make the counters of rule %s: %s",
			       config->rules[at < config->n_rules ? at : 0].name, strerror(-err))
		   : 0;
}

int counters_open(struct counters *counters, const struct plane *plane, struct error *e)
{
	*counters = (struct counters){.fd = -1};
	counters->cpus = libbpf_num_possible_cpus();
	if (counters->cpus <= 0)
		return error_set(e, EINVAL, "the number of CPUs can't be found out");
	counters->each = calloc((size_t)counters->cpus, sizeof(*counters->each));
	if (!counters->each)
		return error_set(e, ENOMEM, "out of memory");
	counters->fd = pins_get(&plane->pins, PIN_COUNTERS, e);
	return counters->fd < 0 ? counters->fd : 0;
}

void counters_close(struct counters *counters)
{
	if (counters->fd >= 0)
		close(counters->fd);
	free(counters->each);
	*counters = (struct counters){.fd = -1};
}

static void add(const struct counters *counters, uint64_t key, struct hf_counters *sum)
{
	size_t i;
	int cpu;

	if (bpf_map_lookup_elem(counters->fd, &key, counters->each) < 0)
		return;
	for (cpu = 0; cpu < counters->cpus; cpu++) {
		const struct hf_counters *one = &counters->each[cpu];

		for (i = 0; i < sizeof(sum->held) / sizeof(sum->held[0]); i++)
			sum->held[i] += one->held[i];
		sum->guarded += one->guarded;
		for (i = 0; i < HF_N_ENDS; i++)
			sum->ends[i] += one->ends[i];
		sum->untold += one->untold;
	}
}

void counters_of(const struct counters *counters, const char *rule, struct hf_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	add(counters, rule_key(rule), sum);
	add(counters, ~rule_key(rule), sum); /* by user space */
}
