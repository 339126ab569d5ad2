/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON written as it comes, for lists too long to be built in memory first. Laid
 * out as json_print() does it. Errors are the stream's: ferror().
 */
#ifndef HOLDFAST_JSON_OUT_H
#define HOLDFAST_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

#define JSON_OUT_DEPTH_MAX 8

struct json_out {
	FILE *out;
	unsigned depth;
	bool filled[JSON_OUT_DEPTH_MAX]; /* what is open at this depth has a member already */
	char text[4096]; /* not yet handed to `out`: stdio costs more than all else */
	size_t used;
};

/*
 * Where an object or a list begins and ends; key: NULL in a list, and for the
 * outermost, with whose end everything is handed to `out`.
 */
void json_out_open(struct json_out *json, const char *key, char bracket);
void json_out_close(struct json_out *json, char bracket);

/* A member. Keys are written as they are, texts with what JSON wants escaped. */
void json_out_text(struct json_out *json, const char *key, const char *text); /* NULL: null */
void json_out_number(struct json_out *json, const char *key, uint64_t number);
void json_out_seconds(struct json_out *json, const char *key, int64_t ms);
void json_out_bool(struct json_out *json, const char *key, bool yes);
void json_out_null(struct json_out *json, const char *key);

/* What json-c has built, in its place. -ENOMEM. */
int json_out_object(struct json_out *json, const char *key, struct json_object *object);

#endif
