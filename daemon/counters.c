// SPDX-License-Identifier: GPL-2.0-or-later
#include "counters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	}
}

void counters_of(const struct counters *counters, const char *rule, struct hf_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	add(counters, rule_key(rule), sum);
	add(counters, ~rule_key(rule), sum); /* by user space */
}
