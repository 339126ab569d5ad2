/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command that opens a connection and then waits for its input: a pipe that stays open and
 * silent. It has a session of its own, so that Ctrl-C doesn't reach it before its input is closed;
 * if we are killed, it is told to end.
 */
#ifndef HOLDFAST_MEASURE_CLIENT_H
#define HOLDFAST_MEASURE_CLIENT_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In its environment, so that it is found where it isn't our descendant: `docker exec -e`. */
#define CLIENT_VARIABLE "HOLDFAST_MEASURE"

/* Of what it writes, so much of the end is kept. */
#define CLIENT_TAIL_MAX 1024

struct client {
	pid_t pid;	    /* and its session; 0: it was never started */
	int input, output;  /* our ends of the pipes; owned; -1: closed */
	char mark[32];	    /* the value of CLIENT_VARIABLE */
	int64_t started_ms; /* CLOCK_MONOTONIC */
	bool ended;
	int status; /* then: as of wait(2) */
	char tail[CLIENT_TAIL_MAX];
	size_t tail_size;
};

#define CLIENT_INIT                                                                                \
	{                                                                                          \
		.input = -1, .output = -1                                                          \
	}

/* Starts it, its output a pipe to us; number: which of ours it is. What exec() says is an error. */
int client_start(struct client *client, char *const *argv, unsigned number, struct error *e);

/* Reads what it has written, and sees whether it has ended. */
void client_attend(struct client *client);

/* "the command has ended with exit status 1: ...", what it wrote last behind it. */
void client_describe_end(const struct client *client, char *text, size_t size);

/* What it wrote last, one line without control characters; empty: nothing. */
void client_last_words(const struct client *client, char *text, size_t size);

/*
 * Closes the input of each, which makes it leave in its own way; who hasn't left after a few
 * seconds is ended. Waits for all of them.
 */
void clients_end(struct client *const *clients, size_t n);

#endif
