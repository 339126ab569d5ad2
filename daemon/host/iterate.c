// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/iterate.h"

#include "base/util.h"

#include <errno.h>

struct opening {
	const struct pins *pins;
	const char *iterator;
	struct error *e;
};

static int open_inside(void *arg)
{
	struct opening *opening = arg;

	return iter_open(opening->pins, opening->iterator, opening->e);
}

int iterate_netns(const struct data_plane *plane, const char *iterator, const struct netns *ns,
		  size_t record_size, iter_fn fn, void *arg, struct error *e)
{
	struct opening opening = {&plane->pins, iterator, e};
	_cleanup_close_ int fd = netns_call(ns, open_inside, &opening, e);

	if (fd < 0)
		return fd;
	return iter_read(fd, record_size, fn, arg, e);
}

int iterate_all(const struct data_plane *plane, const char *all, const char *here,
		const struct netns_list *namespaces, size_t record_size, iter_fn fn, void *arg,
		struct error *e)
{
	size_t i;
	int err = 0;

	if (pins_has(&plane->pins, all))
		return iter_run(&plane->pins, all, record_size, fn, arg, e);
	for (i = 0; !err && i < namespaces->n; i++) {
		data_plane_tick(plane);
		err = iterate_netns(plane, here, &namespaces->list[i], record_size, fn, arg, e);
		if (err == -ENOENT && pins_has(&plane->pins, here))
			err = 0;
	}
	return err;
}
