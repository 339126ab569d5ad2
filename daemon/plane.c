// SPDX-License-Identifier: GPL-2.0-or-later
#include "../bpf/types.h"
#include "util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

/* How often rules may be swapped while they are looked for. */
#define TRIES 10

/* hf_match() asks the kernel's own trie, one system call a look-up. */
struct kernel_trie {
	int fd;
	union hf_value value[4];
	unsigned int n;
};

static const union hf_value *kernel_lookup(struct kernel_trie *trie, const struct hf_key *key)
{
	union hf_value *value = &trie->value[trie->n++ % ARRAY_SIZE(trie->value)];

	return bpf_map_lookup_elem(trie->fd, key, value) == 0 ? value : NULL;
}

#define HF_LOOKUP(trie, key) kernel_lookup((trie), (key))
#include "../bpf/match.h"

#include "conf.h"
#include "counters.h"
#include "gate.h"
#include "hook.h"
#include "map_insert.h"
#include "plane.h"

int plane_open_maps(struct plane *plane, struct error *e)
{
	plane->rules_fd = pins_get(&plane->pins, PIN_RULES, e);
	if (plane->rules_fd < 0)
		return plane->rules_fd;
	plane->info_fd = pins_get(&plane->pins, PIN_INFO, e);
	return plane->info_fd < 0 ? plane->info_fd : 0;
}

int plane_open(struct plane *plane, const char *pin_dir, struct error *e)
{
	int err;

	*plane = (struct plane)PLANE_INIT;
	err = pins_open(&plane->pins, pin_dir, e);
	if (!err)
		err = plane_open_maps(plane, e);
	if (err)
		plane_close(plane);
	return err;
}

void plane_close(struct plane *plane)
{
	if (plane->rules_fd >= 0)
		close(plane->rules_fd);
	if (plane->info_fd >= 0)
		close(plane->info_fd);
	plane->rules_fd = plane->info_fd = -1;
	pins_close(&plane->pins);
}

/* Killed while it let go, a daemon leaves a program that is attached, and no rules for it. */
int plane_attached(const struct plane *plane, struct error *e)
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

int plane_get_info(const struct plane *plane, struct hf_info *info, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_lookup_elem(plane->info_fd, &zero, info) < 0)
		return error_set(e, errno, "reading %s: %s", PIN_INFO, strerror(errno));
	info->version[sizeof(info->version) - 1] = '\0';
	info->cgroup[sizeof(info->cgroup) - 1] = '\0';
	return 0;
}

int plane_set_info(const struct plane *plane, const struct hf_info *info, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_update_elem(plane->info_fd, &zero, info, BPF_ANY) < 0)
		return error_set(e, errno, "writing %s: %s", PIN_INFO, strerror(errno));
	return 0;
}

/* A trie with these rules, in nobody's way yet; their ports. A descriptor, or negative errno. */
static int make_trie(const struct config *config, uint32_t generation, struct hf_gate *gate,
		     struct error *e)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	_cleanup_free_ struct rule_entry *entries = NULL;
	_cleanup_close_ int trie = -1;
	size_t n, i;
	int err;

	err = rules_compile(config, generation, &entries, &n, e);
	if (err)
		return err;
	trie = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "hf_trie", sizeof(struct hf_key),
			      sizeof(union hf_value), n ? (uint32_t)n : 1, &options);
	if (trie < 0)
		return error_set(e, errno, "can't make a map for the rules: %s", strerror(errno));
	for (i = 0; i < n; i++) {
		err = map_insert(trie, &entries[i].key, &entries[i].value, BPF_ANY);
		if (err)
			return error_set(e, -err, "filling the map of the rules: %s",
					 strerror(-err));
	}
	gate_add(gate, entries, n);
	return take_fd(&trie);
}

/* The first chunk begins with this; the text follows. */
struct text_header {
	uint64_t number;
	uint32_t length;
	int32_t status;
};

/* A map that holds a text. A descriptor, or negative errno. */
static int make_text(const char *name, const struct plane_text *text, struct error *e)
{
	struct text_header header = {.number = text->number, .status = text->status};
	_cleanup_close_ int map = -1;
	char chunk[HF_TEXT_CHUNK];
	size_t total, at;
	uint32_t i;

	header.length = (uint32_t)strlen(text->text);
	total = sizeof(header) + header.length;
	map = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), sizeof(chunk),
			     (uint32_t)((total + sizeof(chunk) - 1) / sizeof(chunk)), NULL);
	if (map < 0)
		return error_set(e, errno, "can't make the map %s: %s", name, strerror(errno));
	for (i = 0, at = 0; at < total; i++) {
		size_t start = i == 0 ? sizeof(header) : 0;
		size_t room = sizeof(chunk) - start;
		size_t left = total - at - start;

		memset(chunk, 0, sizeof(chunk));
		if (i == 0)
			memcpy(chunk, &header, sizeof(header));
		memcpy(chunk + start, text->text + at + start - sizeof(header),
		       left < room ? left : room);
		if (bpf_map_update_elem(map, &i, chunk, BPF_ANY) < 0)
			return error_set(e, errno, "filling the map %s: %s", name, strerror(errno));
		at += sizeof(chunk);
	}
	return take_fd(&map);
}

int plane_put_text(const struct plane *plane, const char *name, const struct plane_text *text,
		   struct error *e)
{
	_cleanup_close_ int map = make_text(name, text, e);

	return map < 0 ? map : pins_put(&plane->pins, name, map, e);
}

int plane_get_text(const struct plane *plane, const char *name, struct plane_text *text,
		   struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, name, e);
	_cleanup_free_ char *bytes = NULL;
	char chunk[HF_TEXT_CHUNK];
	struct text_header header;
	size_t at, total = 0;
	uint32_t i = 0;

	if (map < 0)
		return map;
	for (at = 0; i == 0 || at < total; i++) {
		const uint32_t key = i;

		if (bpf_map_lookup_elem(map, &key, chunk) < 0)
			return error_set(e, errno, "reading %s: %s", name, strerror(errno));
		if (i == 0) {
			memcpy(&header, chunk, sizeof(header));
			total = sizeof(header) + header.length;
			bytes = malloc((total / sizeof(chunk) + 1) * sizeof(chunk));
			if (!bytes)
				return error_set(e, ENOMEM, "out of memory");
		}
		memcpy(bytes + at, chunk, sizeof(chunk));
		at += sizeof(chunk);
	}
	memmove(bytes, bytes + sizeof(header), header.length);
	bytes[header.length] = '\0';
	text->number = header.number;
	text->status = header.status;
	text->text = take_ptr(bytes);
	return 0;
}

int plane_current_trie(const struct plane *plane, struct error *e)
{
	const uint32_t zero = 0;
	int fd, tries = 0;
	uint32_t id;

	/* One that has gone meanwhile has been replaced by another. */
	while (bpf_map_lookup_elem(plane->rules_fd, &zero, &id) == 0 && tries++ < TRIES) {
		fd = bpf_map_get_fd_by_id(id);
		if (fd >= 0)
			return fd;
		if (errno != ENOENT)
			break;
	}
	return errno == ENOENT ? -ENOENT
			       : error_set(e, errno, "reading %s: %s", PIN_RULES, strerror(errno));
}

/* The trie that was in force before, or none; and what info said. */
static void put_back(const struct plane *plane, int trie, const struct hf_info *info)
{
	const uint32_t zero = 0;

	if (trie >= 0)
		bpf_map_update_elem(plane->rules_fd, &zero, &trie, BPF_ANY);
	else
		bpf_map_delete_elem(plane->rules_fd, &zero);
	plane_set_info(plane, info, NULL);
	pins_unstage(&plane->pins, PIN_CONFIG);
}

/*
 * Staging the text, swapping the trie, publishing the text: killed at any point
 * in between, the text that belongs to the trie is under one of the two names.
 * What can fail comes before the swap, or is taken back with it.
 */
static int swap(struct plane *plane, int trie, const struct hf_gate *gate, int text,
		uint32_t generation, struct error *e)
{
	_cleanup_close_ int old = plane_current_trie(plane, e);
	const uint32_t zero = 0;
	struct hf_info before, info;
	int err;

	if (old < 0 && old != -ENOENT)
		return old;
	err = plane_get_info(plane, &before, e);
	if (!err)
		err = gate_widen(plane, gate, e);
	if (!err)
		err = pins_stage(&plane->pins, PIN_CONFIG, text, e);
	if (err)
		return err;
	info = before;
	info.generation = generation;
	err = plane_set_info(plane, &info, e);
	if (!err && bpf_map_update_elem(plane->rules_fd, &zero, &trie, BPF_ANY) < 0)
		err = error_set(e, errno, "can't swap the rules: %s", strerror(errno));
	if (!err)
		err = pins_publish(&plane->pins, PIN_CONFIG, e);
	if (err)
		put_back(plane, old, &before);
	else
		gate_set(plane, gate, NULL); /* too wide a one is no fault */
	return err;
}

int plane_put_rules(struct plane *plane, const struct config *config, uint32_t generation,
		    struct error *e)
{
	struct hf_gate gate = {0};
	_cleanup_close_ int trie = make_trie(config, generation, &gate, e);
	struct plane_text words = {.number = generation};
	_cleanup_close_ int text = -1;
	int err;

	if (trie < 0)
		return trie;
	words.text = config_to_text(config);
	text = words.text ? make_text(PIN_CONFIG, &words, e)
			  : error_set(e, ENOMEM, "out of memory");
	free(words.text);
	if (text < 0)
		return text;
	err = counters_make(plane, config, e);
	return err ? err : swap(plane, trie, &gate, text, generation, e);
}

int plane_drop_rules(const struct plane *plane, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_delete_elem(plane->rules_fd, &zero) < 0 && errno != ENOENT)
		return error_set(e, errno, "can't drop the rules: %s", strerror(errno));
	return 0;
}

int plane_get_config(const struct plane *plane, bool staged, struct config *config,
		     uint32_t *generation, struct error *e)
{
	struct conf_messages messages = {0};
	struct plane_text text;
	int err;

	err = plane_get_text(plane, staged ? PIN_CONFIG_STAGED : PIN_CONFIG, &text, e);
	if (err)
		return err;
	*generation = (uint32_t)text.number;
	err = conf_parse_text(PIN_CONFIG, text.text, strlen(text.text), config, &messages);
	if (err)
		error_set(e, -err, "the pinned configuration can't be read: %s",
			  messages.n ? messages.list[0].text : strerror(-err));
	conf_messages_free(&messages);
	free(text.text);
	return err;
}

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

int plane_iterate(const struct plane *plane, const char *iterator, const struct netns *ns,
		  size_t record_size, iter_fn fn, void *arg, struct error *e)
{
	struct opening opening = {&plane->pins, iterator, e};
	_cleanup_close_ int fd = netns_call(ns, open_inside, &opening, e);

	if (fd < 0)
		return fd;
	return iter_read(fd, record_size, fn, arg, e);
}

int plane_iterate_all(const struct plane *plane, const char *all, const char *here,
		      const struct netns_list *namespaces, size_t record_size, iter_fn fn,
		      void *arg, struct error *e)
{
	size_t i;
	int err = 0;

	if (pins_has(&plane->pins, all))
		return iter_run(&plane->pins, all, record_size, fn, arg, e);
	for (i = 0; !err && i < namespaces->n; i++) {
		plane_tick(plane);
		err = plane_iterate(plane, here, &namespaces->list[i], record_size, fn, arg, e);
		if (err == -ENOENT && pins_has(&plane->pins, here))
			err = 0;
	}
	return err;
}

bool plane_match(const struct plane *plane, const struct hf_flow *flow, struct hf_rule *rule,
		 enum hf_side *side)
{
	_cleanup_close_ int fd = plane_current_trie(plane, NULL);
	struct kernel_trie trie = {.fd = fd};
	const struct hf_rule *found;

	if (fd < 0)
		return false;
	found = hf_match(&trie, flow, side);
	if (found)
		*rule = *found;
	return found != NULL;
}
