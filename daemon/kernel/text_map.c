// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/text_map.h"

#include "base/util.h"
#include "bpf/types.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The beginning of the first chunk; the text follows. */
struct text_header {
	uint64_t number;
	uint32_t length;
	int32_t status;
};

int text_map_make(const char *name, const struct kept_text *text, struct error *e)
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

int text_map_put(const struct pins *pins, const char *name, const struct kept_text *text,
		 struct error *e)
{
	_cleanup_close_ int map = text_map_make(name, text, e);

	return map < 0 ? map : pins_put(pins, name, map, e);
}

int text_map_get(const struct pins *pins, const char *name, struct kept_text *text, struct error *e)
{
	_cleanup_close_ int map = pins_get(pins, name, e);
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
