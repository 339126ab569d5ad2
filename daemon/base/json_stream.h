/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes JSON piece by piece, for lists that are too long to be built in memory first, as json-c
 * would do. The layout is that of json_print(). Errors show in ferror() of the stream.
 */
#ifndef HOLDFAST_BASE_JSON_STREAM_H
#define HOLDFAST_BASE_JSON_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

#define JSON_STREAM_DEPTH_MAX 8

struct json_stream {
	FILE *out;
	unsigned depth;
	bool filled[JSON_STREAM_DEPTH_MAX]; /* the list or object at this depth has a member */
	char text[4096]; /* not yet handed to `out`: stdio would cost more than all else */
	size_t used;
};

/*
 * Begin and end an object or a list; bracket is its character. key is NULL inside a list and for
 * the outermost object or list. The end of the outermost one hands everything to `out`.
 */
void json_stream_open(struct json_stream *json, const char *key, char bracket);
void json_stream_close(struct json_stream *json, char bracket);

/* Write a member. Keys are written as they are; texts are escaped as JSON requires. */
void json_stream_text(struct json_stream *json, const char *key, const char *text); /* NULL: null */
void json_stream_number(struct json_stream *json, const char *key, uint64_t number);
void json_stream_seconds(struct json_stream *json, const char *key, int64_t ms);
void json_stream_bool(struct json_stream *json, const char *key, bool yes);
void json_stream_null(struct json_stream *json, const char *key);

/* Writes a member that json-c has built. Returns 0 or -ENOMEM. */
int json_stream_object(struct json_stream *json, const char *key, struct json_object *object);

#endif
