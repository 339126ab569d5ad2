// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/daemon_stats.h"

#include "base/util.h"

#include <bpf/bpf.h>
#include <time.h>

/* How much longer than three periods a pass may be away before the daemon counts as hanging. */
#define LATE_MS 30000u

const uint32_t daemon_stats_bounds_us[STATS_N_BOUNDS] = {
	1000,	2500,	5000,	 10000,	  25000,   50000,    100000,
	250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

/* Opens the pinned map. -EPROTO: it has another shape, as another version of holdfast makes it. */
static int get_map(const struct data_plane *plane, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_DAEMON, e);
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (map < 0)
		return map;
	if (bpf_obj_get_info_by_fd(map, &info, &size) < 0)
		return error_set(e, errno, "reading %s: %s", PIN_DAEMON, strerror(errno));
	if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(struct daemon_stats))
		return error_set(e, EPROTO, "%s is of another version of holdfast", PIN_DAEMON);
	return take_fd(&map);
}

static int lookup(int map, struct daemon_stats *stats, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_lookup_elem(map, &zero, stats) < 0)
		return error_set(e, errno, "reading %s: %s", PIN_DAEMON, strerror(errno));
	return 0;
}

int daemon_stats_open(struct daemon_stats_map *map, const struct data_plane *plane, struct error *e)
{
	_cleanup_close_ int fd = get_map(plane, e);
	int err;

	if (fd == -ENOENT || fd == -EPROTO) {
		fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, PIN_DAEMON, sizeof(uint32_t),
				    sizeof(struct daemon_stats), 1, NULL);
		if (fd < 0)
			return error_set(e, errno, "can't make the map %s: %s", PIN_DAEMON,
					 strerror(errno));
		err = pins_put(&plane->pins, PIN_DAEMON, fd, e);
		if (err)
			return err;
	}
	if (fd < 0)
		return fd;
	err = lookup(fd, &map->now, e);
	if (err)
		return err;
	map->fd = take_fd(&fd);
	return 0;
}

void daemon_stats_close(struct daemon_stats_map *map)
{
	if (map->fd >= 0)
		close(map->fd);
	map->fd = -1;
}

int daemon_stats_read(const struct data_plane *plane, struct daemon_stats *stats, struct error *e)
{
	_cleanup_close_ int fd = get_map(plane, e);

	memset(stats, 0, sizeof(*stats));
	if (fd == -ENOENT || fd == -EPROTO)
		return 0;
	return fd < 0 ? fd : lookup(fd, stats, e);
}

pid_t daemon_stats_daemon(const struct data_plane *plane)
{
	struct error ignored;
	struct daemon_stats stats;

	if (daemon_stats_read(plane, &stats, &ignored) == 0 && stats.pid &&
	    pins_held_by(&plane->pins, (pid_t)stats.pid))
		return (pid_t)stats.pid;
	return pins_holder(&plane->pins);
}

static void put(const struct daemon_stats_map *map)
{
	const uint32_t zero = 0;

	if (map->fd >= 0)
		bpf_map_update_elem(map->fd, &zero, &map->now, BPF_ANY);
}

void daemon_stats_count_start(struct daemon_stats_map *map)
{
	map->now.starts++;
	map->now.pid = (uint64_t)getpid();
	map->now.started_s = map->now.applied_s = (uint64_t)time(NULL);
	map->now.passed_ms = 0;
	map->now.last_reload = STATS_RELOAD_APPLIED;
	put(map);
}

void daemon_stats_set_period(struct daemon_stats_map *map, uint64_t period_s)
{
	map->now.period_s = period_s;
	put(map);
}

void daemon_stats_count_reload(struct daemon_stats_map *map, enum stats_reload how)
{
	map->now.reloads[how]++;
	map->now.last_reload = how;
	if (how == STATS_RELOAD_APPLIED)
		map->now.applied_s = (uint64_t)time(NULL);
	put(map);
}

void daemon_stats_count_pass(struct daemon_stats_map *map, uint64_t us, bool all, bool complete,
			     const struct reconcile_result *result)
{
	struct daemon_stats *now = &map->now;
	size_t i = 0;

	while (i < STATS_N_BOUNDS && us > daemon_stats_bounds_us[i])
		i++;
	now->passes[i]++;
	now->passes_us += us;
	now->incomplete += !complete;
	now->swept[STATS_SWEPT_HELD] += result->held;
	now->swept[STATS_SWEPT_CHANGED] += result->changed;
	now->swept[STATS_SWEPT_HEALED] += result->healed;
	now->swept[STATS_SWEPT_RESTORED] += result->restored;
	if (all && complete) {
		now->reconciled_s = (uint64_t)time(NULL);
		now->namespaces = result->namespaces;
	}
	put(map);
}

void stats_note_passed(struct daemon_stats_map *map, uint64_t now_ms)
{
	map->now.passed_ms = now_ms;
	put(map);
}

enum stats_state stats_judge(const struct daemon_stats *stats, pid_t daemon, uint64_t now_ms)
{
	if (!daemon)
		return STATS_GONE;
	if ((pid_t)stats->pid != daemon || !stats->passed_ms)
		return STATS_STARTING;
	/* A pass may have ended after the caller has read the clock. */
	if (now_ms <= stats->passed_ms)
		return STATS_LOOKING;
	return now_ms - stats->passed_ms > 3 * 1000 * stats->period_s + LATE_MS ? STATS_HANGING
										: STATS_LOOKING;
}
