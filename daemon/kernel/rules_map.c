// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/util.h"
#include "bpf/types.h"
#include "conf/text.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

/* How often the rules may be swapped while rules_map_trie() opens them. */
#define TRIES 10

/*
 * The kernel's trie, as hf_match() searches it here, with one system call for each look-up. The
 * values that it has found stay valid for hf_match(), which looks up no more than four.
 */
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
#include "bpf/match.h"

#include "conf/conf.h"
#include "kernel/map_insert.h"
#include "kernel/port_bitmap.h"
#include "kernel/rule_counters.h"
#include "kernel/rules_map.h"
#include "kernel/text_map.h"

/*
 * Makes a trie with these rules, not in force yet, and adds their ports to the bitmap. Returns a
 * descriptor, the caller's to close, or negative errno.
 */
static int make_trie(const struct config *config, uint32_t generation, struct hf_port_bitmap *gate,
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
	port_bitmap_add(gate, entries, n);
	return take_fd(&trie);
}

int rules_map_trie(const struct data_plane *plane, struct error *e)
{
	const uint32_t zero = 0;
	int fd, tries = 0;
	uint32_t id;

	/* If the trie has gone by the time that it is opened, another one has replaced it. */
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

/* Puts the former trie back in force, or none if `trie` is -1, and the former info. */
static void put_back(const struct data_plane *plane, int trie, const struct hf_info *info)
{
	const uint32_t zero = 0;

	if (trie >= 0)
		bpf_map_update_elem(plane->rules_fd, &zero, &trie, BPF_ANY);
	else
		bpf_map_delete_elem(plane->rules_fd, &zero);
	data_plane_set_info(plane, info, NULL);
	pins_unstage(&plane->pins, PIN_CONFIG);
}

/*
 * Stages the text, swaps the trie, and publishes the text. If the process is killed between these
 * steps, the text that belongs to the trie is under one of the two names. Steps that can fail come
 * before the swap, or are taken back together with it.
 */
static int swap(struct data_plane *plane, int trie, const struct hf_port_bitmap *gate, int text,
		uint32_t generation, struct error *e)
{
	_cleanup_close_ int old = rules_map_trie(plane, e);
	const uint32_t zero = 0;
	struct hf_info before, info;
	int err;

	if (old < 0 && old != -ENOENT)
		return old;
	err = data_plane_get_info(plane, &before, e);
	if (!err)
		err = port_bitmap_widen(&plane->pins, gate, e);
	if (!err)
		err = pins_stage(&plane->pins, PIN_CONFIG, text, e);
	if (err)
		return err;
	info = before;
	info.generation = generation;
	err = data_plane_set_info(plane, &info, e);
	if (!err && bpf_map_update_elem(plane->rules_fd, &zero, &trie, BPF_ANY) < 0)
		err = error_set(e, errno, "can't swap the rules: %s", strerror(errno));
	if (!err)
		err = pins_publish(&plane->pins, PIN_CONFIG, e);
	if (err)
		put_back(plane, old, &before);
	else
		port_bitmap_set(&plane->pins, gate, NULL); /* surplus ports do no harm */
	return err;
}

/*
 * Makes the counters of the new rules. If there is no room, removes those of rules that are gone,
 * but not those of the rules in force, which stay in force if the new ones fail.
 */
static int make_counters(const struct data_plane *plane, const struct config *config,
			 struct error *e)
{
	int err = rule_counters_make(&plane->pins, config, e);
	struct config running = {0};
	uint32_t generation;
	bool known;

	if (err != -E2BIG)
		return err;
	known = rules_map_config(plane, false, &running, &generation, NULL) == 0;
	err = rule_counters_make_room(&plane->pins, config, known ? &running : NULL, e);
	config_free(&running);
	return err ? err : rule_counters_make(&plane->pins, config, e);
}

int rules_map_put(struct data_plane *plane, const struct config *config, uint32_t generation,
		  struct error *e)
{
	struct hf_port_bitmap gate = {0};
	_cleanup_close_ int trie = make_trie(config, generation, &gate, e);
	struct kept_text words = {.number = generation};
	_cleanup_close_ int text = -1;
	int err;

	if (trie < 0)
		return trie;
	words.text = conf_write_text(config);
	text = words.text ? text_map_make(PIN_CONFIG, &words, e)
			  : error_set(e, ENOMEM, "out of memory");
	free(words.text);
	if (text < 0)
		return text;
	err = make_counters(plane, config, e);
	return err ? err : swap(plane, trie, &gate, text, generation, e);
}

int rules_map_drop(const struct data_plane *plane, struct error *e)
{
	const uint32_t zero = 0;

	if (bpf_map_delete_elem(plane->rules_fd, &zero) < 0 && errno != ENOENT)
		return error_set(e, errno, "can't drop the rules: %s", strerror(errno));
	return 0;
}

int rules_map_config(const struct data_plane *plane, bool staged, struct config *config,
		     uint32_t *generation, struct error *e)
{
	struct conf_messages messages = {0};
	struct kept_text text;
	int err;

	err = text_map_get(&plane->pins, staged ? PIN_CONFIG_STAGED : PIN_CONFIG, &text, e);
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

bool rules_map_match(const struct data_plane *plane, const struct hf_flow *flow,
		     struct hf_rule *rule, enum hf_side *side)
{
	_cleanup_close_ int fd = rules_map_trie(plane, NULL);
	struct kernel_trie trie = {.fd = fd};
	const struct hf_rule *found;

	if (fd < 0)
		return false;
	found = hf_match(&trie, flow, side);
	if (found)
		*rule = *found;
	return found != NULL;
}
