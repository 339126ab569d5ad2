/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replaces addresses and names by others that say nothing of them: "ip4-1", "rule-2". The same one
 * gets the same everywhere, so that what belongs together still does.
 */
#ifndef HOLDFAST_SHOW_PSEUDONYMS_H
#define HOLDFAST_SHOW_PSEUDONYMS_H

#include <stddef.h>
#include <stdio.h>

enum pseudonym {
	PSEUDONYM_IPV4,
	PSEUDONYM_IPV6,
	PSEUDONYM_RULE,
	PSEUDONYM_HOST,
	PSEUDONYM_COMMAND,
	PSEUDONYM_CGROUP,
	PSEUDONYM_FILE,
	PSEUDONYM_TEXT, /* what a message quotes */
};
#define PSEUDONYM_KINDS 8

struct pseudonyms {
	char **names[PSEUDONYM_KINDS]; /* in the order of their numbers; owned */
	size_t n[PSEUDONYM_KINDS];
};

#define PSEUDONYM_MAX 64

/*
 * Writes what stands for a name. For an address of a kind that says nothing (loopback, any) that is
 * the address itself. Where memory runs out it is the kind with the number 0.
 */
const char *pseudonym_for(struct pseudonyms *names, enum pseudonym kind, const char *name,
			  size_t size, char out[PSEUDONYM_MAX]);

/*
 * Prints an object as `status -J` and `check -J` have it, with other values under the keys whose
 * values say something. It works on the text, since json-c's parser doesn't stand a lack of memory.
 */
void pseudonyms_in_json(struct pseudonyms *names, const char *text, FILE *out);

/* Prints metrics, with other names of rules. */
void pseudonyms_in_metrics(struct pseudonyms *names, const char *text, FILE *out);

/*
 * Prints a message of the log or about a configuration. What can be a name there: an address, a
 * path, what is quoted, what follows "host name", and a rule's or a command's name where the log
 * has one.
 */
void pseudonyms_in_text(struct pseudonyms *names, const char *text, FILE *out);

void pseudonyms_free(struct pseudonyms *names);

#endif
