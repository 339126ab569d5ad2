// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/util.h"
#include "bpf/types.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "conf/conf.h"
#include "kernel/data_plane.h"
#include "kernel/hook.h"
#include "kernel/map_insert.h"
#include "kernel/port_bitmap.h"
#include "kernel/rule_counters.h"

int data_plane_open_maps(struct data_plane *plane, struct error *e)
{
	plane->rules_fd = pins_get(&plane->pins, PIN_RULES, e);
	if (plane->rules_fd < 0)
		return plane->rules_fd;
	plane->info_fd = pins_get(&plane->pins, PIN_INFO, e);
	return plane->info_fd < 0 ? plane->info_fd : 0;
}

int data_plane_open(struct data_plane *plane, const char *pin_dir, struct error *e)
{
	int err;

	*plane = (struct data_plane)DATA_PLANE_INIT;
	err = pins_open(&plane->pins, pin_dir, e);
	if (!err)
		err = data_plane_open_maps(plane, e);
	if (err)
		data_plane_close(plane);
	return err;
}

void data_plane_close(struct data_plane *plane)
{
	if (plane->rules_fd >= 0)
		close(plane->rules_fd);
	if (plane->info_fd >= 0)
		close(plane->info_fd);
	plane->rules_fd = plane->info_fd = -1;
	pins_close(&plane->pins);
}

/* A daemon that was killed while it released leaves a program that is attached but has no rules. */
int data_plane_attached(const struct data_plane *plane, struct error *e)
{
	const uint32_t zero = 0;
	int attached = hook_attached(&plane->pins, PIN_SOCKOPS, e);
	uint32_t id;

	if (attached <= 0)
		return attached;
	if (bpf_map_lookup_elem(plane->rules_fd, &zero, &id) == 0)
		return 1;
	return errno == ENOENT ? 0
			       : error_set(e, errno, "reading %s: %s", PIN_RULES, strerror(errno));
}

int data_plane_get_info(const struct data_plane *plane, struct hf_info *info, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_lookup_elem(plane->info_fd, &zero, info) < 0)
		return error_set(e, errno, "reading %s: %s", PIN_INFO, strerror(errno));
	info->version[sizeof(info->version) - 1] = '\0';
	info->cgroup[sizeof(info->cgroup) - 1] = '\0';
	return 0;
}

int data_plane_set_info(const struct data_plane *plane, const struct hf_info *info, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_update_elem(plane->info_fd, &zero, info, BPF_ANY) < 0)
		return error_set(e, errno, "writing %s: %s", PIN_INFO, strerror(errno));
	return 0;
}
