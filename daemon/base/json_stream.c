// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json_stream.h"

#include "base/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

static void hand_over(struct json_stream *json)
{
	fwrite(json->text, 1, json->used, json->out);
	json->used = 0;
}

static void put_bytes(struct json_stream *json, const char *bytes, size_t size)
{
	if (size > sizeof(json->text) - json->used)
		hand_over(json);
	if (size > sizeof(json->text)) {
		fwrite(bytes, 1, size, json->out);
		return;
	}
	memcpy(json->text + json->used, bytes, size);
	json->used += size;
}

static void put(struct json_stream *json, const char *text)
{
	put_bytes(json, text, strlen(text));
}

static void put_byte(struct json_stream *json, char byte)
{
	if (json->used == sizeof(json->text))
		hand_over(json);
	json->text[json->used++] = byte;
}

static void put_digits(struct json_stream *json, uint64_t number)
{
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put_bytes(json, digits + at, sizeof(digits) - at);
}

static void put_line(struct json_stream *json)
{
	static const char blanks[2 * JSON_STREAM_DEPTH_MAX + 1] = "                ";

	put_byte(json, '\n');
	put_bytes(json, blanks, 2 * json->depth);
}

static void begin(struct json_stream *json, const char *key)
{
	if (json->depth) {
		if (json->filled[json->depth])
			put_byte(json, ',');
		json->filled[json->depth] = true;
		put_line(json);
	}
	if (!key)
		return;
	put_byte(json, '"');
	put(json, key);
	put(json, "\": ");
}

void json_stream_open(struct json_stream *json, const char *key, char bracket)
{
	begin(json, key);
	put_byte(json, bracket);
	if (json->depth < JSON_STREAM_DEPTH_MAX - 1)
		json->depth++;
	json->filled[json->depth] = false;
}

void json_stream_close(struct json_stream *json, char bracket)
{
	if (json->depth)
		json->depth--;
	put_line(json);
	put_byte(json, bracket);
	if (!json->depth)
		hand_over(json);
}

void json_stream_text(struct json_stream *json, const char *key, const char *text)
{
	char code[8];

	if (!text) {
		json_stream_null(json, key);
		return;
	}
	begin(json, key);
	put_byte(json, '"');
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20) {
			snprintf(code, sizeof(code), "\\u%04x", (unsigned)(unsigned char)*text);
			put(json, code);
			continue;
		}
		if (*text == '"' || *text == '\\')
			put_byte(json, '\\');
		put_byte(json, *text);
	}
	put_byte(json, '"');
}

void json_stream_number(struct json_stream *json, const char *key, uint64_t number)
{
	begin(json, key);
	put_digits(json, number);
}

void json_stream_seconds(struct json_stream *json, const char *key, int64_t ms)
{
	uint64_t whole = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	unsigned rest = (unsigned)(whole % 1000);

	begin(json, key);
	if (ms < 0)
		put_byte(json, '-');
	put_digits(json, whole / 1000);
	if (!rest)
		return;
	put_byte(json, '.');
	for (; rest; rest = rest % 100 * 10)
		put_byte(json, (char)('0' + rest / 100));
}

void json_stream_bool(struct json_stream *json, const char *key, bool yes)
{
	begin(json, key);
	put(json, yes ? "true" : "false");
}

void json_stream_null(struct json_stream *json, const char *key)
{
	begin(json, key);
	put(json, "null");
}

int json_stream_object(struct json_stream *json, const char *key, struct json_object *object)
{
	const char *text = json_text(object);

	if (!text)
		return -ENOMEM;
	begin(json, key);
	for (; *text; text++) {
		if (*text == '\n')
			put_line(json);
		else
			put_byte(json, *text);
	}
	return 0;
}
