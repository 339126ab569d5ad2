// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/windows.h"

#include "base/clock.h"
#include "base/u64_set.h"
#include "base/util.h"
#include "conf/text.h"
#include "sockets/learned.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Rules that the pinned map has room for. What others learn lasts as long as the daemon. */
#define MAP_ROOM 4096u

struct windows *windows_new(const struct log *log, const struct data_plane *plane)
{
	struct windows *windows = calloc(1, sizeof(*windows));

	if (!windows)
		return NULL;
	windows->log = log;
	windows->plane = plane;
	windows->map = -1;
	windows->suspended_ms = (int64_t)windows_now_ms() - monotonic_ms();
	return windows;
}

static void list_free(struct learned_list *learned)
{
	size_t i;

	for (i = 0; learned->list && i < learned->n; i++) {
		free(learned->list[i].window);
		free(learned->list[i].host);
		free(learned->list[i].seen);
	}
	free(learned->list);
	free(learned->places);
	*learned = (struct learned_list){0};
}

void windows_free(struct windows *windows)
{
	if (!windows)
		return;
	list_free(&windows->now);
	list_free(&windows->next);
	agers_free(&windows->agers);
	if (windows->map >= 0)
		close(windows->map);
	free(windows);
}

int windows_map(const struct data_plane *plane)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_WINDOWS, NULL);
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);

	if (map < 0)
		return map;
	if (bpf_obj_get_info_by_fd(map, &info, &size) < 0)
		return -errno;
	if (info.key_size != sizeof(uint64_t) || info.value_size != sizeof(struct pinned_window))
		return -EPROTO; /* another version of holdfast has made it */
	return take_fd(&map);
}

void windows_take_over(struct windows *windows, const struct data_plane *earlier)
{
	int map = windows_map(earlier);

	if (map >= 0 && windows->map < 0)
		windows->map = map;
	else if (map >= 0)
		close(map);
}

struct learned *windows_find(const struct learned_list *learned, uint64_t key)
{
	const struct learned_place *place =
		sorted_find(learned->places, learned->n, sizeof(*place), key);

	return place ? &learned->list[place->index] : NULL;
}

void windows_set_times(const struct learned *learned, struct rule *rule)
{
	static const struct window nothing;
	const struct window *window = learned->window ? learned->window : &nothing;
	uint64_t host_ms = learned->host ? host_window_bound(learned->host) : 0;
	uint16_t interval_s;

	rule->time_s = learned->said_time_s;
	rule->interval_s = learned->said_interval_s;
	if (rule->window_ms || !rule->enforce)
		return;
	rule->time_s = window_time(window, learned->said_time_s, host_ms);
	interval_s = rule_default_interval(rule->time_s);
	if (rule->time_s < learned->said_time_s && interval_s < rule->interval_s)
		rule->interval_s = interval_s;
}

void windows_bound(struct rule *rule, const struct host_window *host)
{
	struct host_window known = *host;
	const struct learned learned = {.said_time_s = rule->time_s,
					.said_interval_s = rule->interval_s,
					.host = known.window_ms ? &known : NULL};

	windows_set_times(&learned, rule);
}

/* Copies size bytes, the caller's to free. Returns NULL where they are NULL, or sets *err. */
static void *copy(const void *from, size_t size, int *err)
{
	void *to = from ? malloc(size) : NULL;

	if (to)
		memcpy(to, from, size);
	else if (from)
		*err = -ENOMEM;
	return to;
}

/* Remembers what is known of a rule, either of which may be NULL. Returns 0 or -ENOMEM. */
static int remember(struct learned *learned, const struct window *window,
		    const struct host_window *host)
{
	int err = 0;

	learned->window = copy(window, sizeof(*window), &err);
	learned->host = copy(host, sizeof(*host), &err);
	return err;
}

static bool is_known(const struct window *window)
{
	const struct window nothing = {0};

	return memcmp(window, &nothing, sizeof(nothing)) != 0;
}

/*
 * Reads what is pinned of a rule. Returns 0, -ENOENT if nothing is, or -EBADMSG if it can't be what
 * a daemon has written.
 */
static int read_pinned(int map, uint64_t key, struct pinned_window *pinned)
{
	if (map < 0 || bpf_map_lookup_elem(map, &key, pinned) < 0)
		return -ENOENT;
	return window_is_sane(&pinned->window, windows_now_ms()) &&
			       host_window_is_sane(&pinned->host)
		       ? 0
		       : -EBADMSG;
}

/* Sets up a rule: with what it has learned before, if its text is the same. */
static int begin(const struct windows *windows, const struct rule *rule, struct learned *learned)
{
	const struct learned *before;
	struct pinned_window pinned;
	int err;

	*learned = (struct learned){.key = rule_key(rule->name),
				    .said_time_s = rule->time_s,
				    .said_interval_s = rule->interval_s};
	if (conf_rule_hash(rule, &learned->text_hash))
		return -ENOMEM;
	before = windows_find(&windows->now, learned->key);
	if (before)
		return before->text_hash == learned->text_hash
			       ? remember(learned, before->window, before->host)
			       : 0;
	err = read_pinned(windows->map, learned->key, &pinned);
	if (err == -EBADMSG)
		log_warning(
			windows->log,
			"rule %s: what was pinned of its path is damaged; it begins to learn anew",
			rule->name);
	if (err || pinned.text_hash != learned->text_hash)
		return 0;
	return remember(learned, is_known(&pinned.window) ? &pinned.window : NULL,
			pinned.host.window_ms ? &pinned.host : NULL);
}

int windows_prepare(struct windows *windows, struct config *config, struct error *e)
{
	size_t i;
	int err = 0;

	windows_drop(windows);
	windows->next.list = calloc(config->n_rules + 1, sizeof(*windows->next.list));
	windows->next.places = calloc(config->n_rules + 1, sizeof(*windows->next.places));
	if (!windows->next.list || !windows->next.places) {
		windows_drop(windows);
		return error_set(e, ENOMEM, "out of memory");
	}
	windows->next.n = config->n_rules;
	for (i = 0; !err && i < config->n_rules; i++) {
		err = begin(windows, &config->rules[i], &windows->next.list[i]);
		if (!err)
			windows_set_times(&windows->next.list[i], &config->rules[i]);
		windows->next.places[i] = (struct learned_place){windows->next.list[i].key, i};
	}
	if (err) {
		windows_drop(windows);
		return error_set(e, ENOMEM, "out of memory");
	}
	sort_by_u64(windows->next.places, windows->next.n, sizeof(*windows->next.places));
	return 0;
}

static bool knows(const struct learned *learned)
{
	return learned->window || learned->host;
}

void windows_keep(const struct windows *windows, const struct learned *learned)
{
	struct pinned_window pinned = {.text_hash = learned->text_hash};

	if (windows->map < 0 || !knows(learned))
		return;
	if (learned->window)
		pinned.window = *learned->window;
	if (learned->host)
		pinned.host = *learned->host;
	bpf_map_update_elem(windows->map, &learned->key, &pinned, BPF_ANY);
}

/* Removes the entries of rules that have learned nothing, or are gone; writes those of others. */
static void keep_all(const struct windows *windows)
{
	const struct learned *learned;
	uint64_t key, next;
	size_t i;
	bool more;

	if (windows->map < 0)
		return;
	more = bpf_map_get_next_key(windows->map, NULL, &next) == 0;
	while (more) {
		key = next;
		more = bpf_map_get_next_key(windows->map, &key, &next) == 0;
		learned = windows_find(&windows->now, key);
		if (!learned || !knows(learned))
			bpf_map_delete_elem(windows->map, &key);
	}
	for (i = 0; windows->now.list && i < windows->now.n; i++)
		windows_keep(windows, &windows->now.list[i]);
}

void windows_commit(struct windows *windows)
{
	list_free(&windows->now);
	windows->now = windows->next;
	windows->next = (struct learned_list){0};
	windows->changed = false;
	windows->asked_ms = 0;
	keep_all(windows);
}

void windows_drop(struct windows *windows)
{
	list_free(&windows->next);
}

int windows_open(struct windows *windows, struct error *e)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	_cleanup_close_ int map = windows_map(windows->plane);
	int err;

	if (map < 0) {
		map = bpf_map_create(BPF_MAP_TYPE_HASH, PIN_WINDOWS, sizeof(uint64_t),
				     sizeof(struct pinned_window), MAP_ROOM, &options);
		if (map < 0)
			return error_set(e, errno, "can't make the map %s: %s", PIN_WINDOWS,
					 strerror(errno));
		err = pins_put(&windows->plane->pins, PIN_WINDOWS, map, e);
		if (err)
			return err;
	}
	if (windows->map >= 0)
		close(windows->map);
	windows->map = take_fd(&map);
	keep_all(windows);
	return 0;
}

void windows_read(int map, const struct rule *rule, struct window *window, struct host_window *host)
{
	struct pinned_window pinned;

	*window = (struct window){0};
	*host = (struct host_window){0};
	if (read_pinned(map, rule_key(rule->name), &pinned))
		return;
	*window = pinned.window;
	*host = pinned.host;
}

bool windows_pending(const struct windows *windows)
{
	size_t i;

	for (i = 0; i < windows->now.n; i++) {
		if (windows->now.list[i].window && windows->now.list[i].window->forgotten)
			return true;
	}
	return false;
}
