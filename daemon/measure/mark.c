// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/mark.h"

#include "base/util.h"
#include "bpf/types.h"
#include "kernel/pins.h"

#include <bpf/bpf.h>

static int write_record(int map, int fd, uint64_t cookie, struct error *e)
{
	struct hf_record record = {0};

	if (bpf_map_lookup_elem(map, &fd, &record) == 0 && record.left_alone)
		return 0;
	record.cookie = cookie;
	record.left_alone = 1;
	record.ended = 1;   /* how it ends is ours to tell */
	record.held_ns = 0; /* what it is given afterwards isn't the application's */
	if (bpf_map_update_elem(map, &fd, &record, BPF_ANY) < 0)
		return error_set(e, errno, "can't have the daemon leave a connection alone: %s",
				 strerror(errno));
	return 0;
}

int mark_left_alone(const char *pin_dir, int fd, uint64_t cookie, struct error *e)
{
	struct pins pins = PINS_INIT;
	_cleanup_close_ int map = -1;
	int err = pins_open(&pins, pin_dir, e);

	if (!err) {
		map = pins_get(&pins, PIN_SOCKETS, e);
		err = map < 0 ? map : write_record(map, fd, cookie, e);
	}
	pins_close(&pins);
	return err == -ENOENT ? 0 : err;
}
