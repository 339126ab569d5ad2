// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/rule_counters.h"

#include "base/cookie_set.h"
#include "base/util.h"
#include "kernel/map_insert.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adds the keys of each rule's counters, those of user space (struct hf_counters) included. */
static int add_keys(struct cookie_set *keys, const struct config *config)
{
	size_t i;

	for (i = 0; i < config->n_rules; i++) {
		if (cookie_set_add(keys, rule_key(config->rules[i].name)) ||
		    cookie_set_add(keys, ~rule_key(config->rules[i].name)))
			return -ENOMEM;
	}
	return 0;
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

int rule_counters_make(const struct pins *pins, const struct config *config, struct error *e)
{
	_cleanup_close_ int map = pins_get(pins, PIN_COUNTERS, e);
	int cpus = libbpf_num_possible_cpus(), err;
	_cleanup_free_ struct hf_counters *zero = NULL;
	size_t at = 0;

	if (map < 0)
		return map;
	zero = cpus > 0 ? calloc((size_t)cpus, sizeof(*zero)) : NULL;
	if (!zero)
		return error_set(e, ENOMEM, "out of memory");
	err = make(map, config, zero, &at);
	if (err == -E2BIG)
		return error_set(e, E2BIG, "there are too many rules: %zu of %zu can be counted",
				 at, config->n_rules);
	return err ? error_set(e, -err, "can't make the counters of rule %s: %s",
			       config->rules[at < config->n_rules ? at : 0].name, strerror(-err))
		   : 0;
}

int rule_counters_make_room(const struct pins *pins, const struct config *config,
			    const struct config *running, struct error *e)
{
	_cleanup_close_ int map = pins_get(pins, PIN_COUNTERS, e);
	struct cookie_set needed = {0};
	uint64_t key, next;
	bool more;
	int err;

	if (map < 0)
		return map;
	err = add_keys(&needed, config);
	if (!err && running)
		err = add_keys(&needed, running);
	more = !err && bpf_map_get_next_key(map, NULL, &next) == 0;
	while (more) {
		key = next;
		more = bpf_map_get_next_key(map, &key, &next) == 0;
		if (!cookie_set_have(&needed, key))
			bpf_map_delete_elem(map, &key);
	}
	cookie_set_free(&needed);
	return err ? error_set(e, -err, "%s", strerror(-err)) : 0;
}

int rule_counters_open(struct rule_counters *counters, const struct pins *pins, struct error *e)
{
	*counters = (struct rule_counters){.fd = -1};
	counters->cpus = libbpf_num_possible_cpus();
	if (counters->cpus <= 0)
		return error_set(e, EINVAL, "the number of CPUs can't be found out");
	counters->each = calloc((size_t)counters->cpus, sizeof(*counters->each));
	if (!counters->each)
		return error_set(e, ENOMEM, "out of memory");
	counters->fd = pins_get(pins, PIN_COUNTERS, e);
	return counters->fd < 0 ? counters->fd : 0;
}

void rule_counters_close(struct rule_counters *counters)
{
	if (counters->fd >= 0)
		close(counters->fd);
	free(counters->each);
	*counters = (struct rule_counters){.fd = -1};
}

static void add(const struct rule_counters *counters, uint64_t key, struct hf_counters *sum)
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

void rule_counters_of(const struct rule_counters *counters, const char *rule,
		      struct hf_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	add(counters, rule_key(rule), sum);
	add(counters, ~rule_key(rule), sum); /* what user space has counted */
}
