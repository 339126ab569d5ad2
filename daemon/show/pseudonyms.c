// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/pseudonyms.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[PSEUDONYM_KINDS] = {
	[PSEUDONYM_IPV4] = "ip4",  [PSEUDONYM_IPV6] = "ip6",	    [PSEUDONYM_RULE] = "rule",
	[PSEUDONYM_HOST] = "host", [PSEUDONYM_COMMAND] = "command", [PSEUDONYM_CGROUP] = "cgroup",
	[PSEUDONYM_FILE] = "file", [PSEUDONYM_TEXT] = "text",
};

/* Paths that are the same on every host. */
static const char *const known_paths[] = {
	"/",
	"/etc/holdfast/holdfast.conf",
	"/etc/holdfast/holdfast.conf.d",
	"/etc/hosts",
	"/etc/resolv.conf",
	"/run/holdfast/cgroup",
	"/sys/fs/bpf",
	"/sys/fs/bpf/holdfast",
	"/sys/fs/cgroup",
	"/sys/fs/cgroup/unified",
};

/* Whatever is below these is, too: a process's own folder in /proc says no more than its number. */
static const char *const known_folders[] = {"/proc/", "/sys/kernel/"};

/* Returns the number of a name, from 1; 0: out of memory. */
static size_t number_of(struct pseudonyms *names, enum pseudonym kind, const char *name,
			size_t size)
{
	char **grown, *copy;
	size_t i;

	for (i = 0; i < names->n[kind]; i++) {
		if (strlen(names->names[kind][i]) == size &&
		    memcmp(names->names[kind][i], name, size) == 0)
			return i + 1;
	}
	copy = strndup(name, size);
	grown = copy ? reallocarray(names->names[kind], i + 1, sizeof(*grown)) : NULL;
	if (!grown) {
		free(copy);
		return 0;
	}
	names->names[kind] = grown;
	grown[names->n[kind]++] = copy;
	return i + 1;
}

const char *pseudonym_for(struct pseudonyms *names, enum pseudonym kind, const char *name,
			  size_t size, char out[PSEUDONYM_MAX])
{
	snprintf(out, PSEUDONYM_MAX, "%s-%zu", kinds[kind], number_of(names, kind, name, size));
	return out;
}

static bool says_nothing(const struct in6_addr *addr, bool v4)
{
	if (v4)
		return addr->s6_addr[12] == 127 || memcmp(addr->s6_addr + 12, "\0\0\0", 4) == 0;
	return IN6_IS_ADDR_LOOPBACK(addr) || IN6_IS_ADDR_UNSPECIFIED(addr);
}

/* Writes what stands for an address of that many characters; false: it is none. */
static bool address(struct pseudonyms *names, const char *text, size_t size,
		    char out[PSEUDONYM_MAX])
{
	char copy[INET6_ADDRSTRLEN], plain[INET6_ADDRSTRLEN], name[PSEUDONYM_MAX];
	struct in6_addr addr = {0};
	bool v4;

	if (!size || size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	v4 = inet_pton(AF_INET, copy, addr.s6_addr + 12) == 1;
	if (!v4 && inet_pton(AF_INET6, copy, &addr) != 1)
		return false;
	if (!v4 && IN6_IS_ADDR_V4MAPPED(&addr)) {
		inet_ntop(AF_INET, addr.s6_addr + 12, plain, sizeof(plain));
		if (!address(names, plain, strlen(plain), name))
			return false;
		snprintf(out, PSEUDONYM_MAX, "::ffff:%.40s", name);
		return true;
	}
	if (says_nothing(&addr, v4)) {
		snprintf(out, PSEUDONYM_MAX, "%s", copy);
		return true;
	}
	/* The same address may be written in several ways. */
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (void *)(addr.s6_addr + 12) : (void *)&addr, plain,
		  sizeof(plain));
	pseudonym_for(names, v4 ? PSEUDONYM_IPV4 : PSEUDONYM_IPV6, plain, strlen(plain), out);
	return true;
}

/* --- JSON --- */

/* A rule's destination: any, an address, a prefix or a host name. */
static void destination(struct pseudonyms *names, const char *text, char out[PSEUDONYM_MAX])
{
	size_t size = strcspn(text, "/");
	char name[PSEUDONYM_MAX];

	if (strcmp(text, "any") == 0)
		snprintf(out, PSEUDONYM_MAX, "any");
	else if (address(names, text, size, name))
		snprintf(out, PSEUDONYM_MAX, "%.50s%.10s", name, text + size);
	else
		pseudonym_for(names, PSEUDONYM_HOST, text, strlen(text), out);
}

static bool is_known(const char *path, size_t size)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known_paths); i++) {
		if (strlen(known_paths[i]) == size && memcmp(known_paths[i], path, size) == 0)
			return true;
	}
	for (i = 0; i < ARRAY_SIZE(known_folders); i++) {
		if (strncmp(path, known_folders[i], strlen(known_folders[i])) == 0)
			return true;
	}
	return false;
}

static void path(struct pseudonyms *names, enum pseudonym kind, const char *text, size_t size,
		 char out[PSEUDONYM_MAX])
{
	if (size < PSEUDONYM_MAX && is_known(text, size))
		snprintf(out, PSEUDONYM_MAX, "%.*s", (int)size, text);
	else
		pseudonym_for(names, kind, text, size, out);
}

/* Writes what stands for a value under a key. */
static void value(struct pseudonyms *names, const char *key, const char *text, FILE *out)
{
	char name[PSEUDONYM_MAX];

	if (strcmp(key, "name") == 0 || strcmp(key, "rule") == 0)
		pseudonym_for(names, PSEUDONYM_RULE, text, strlen(text), name);
	else if (strcmp(key, "command") == 0)
		pseudonym_for(names, PSEUDONYM_COMMAND, text, strlen(text), name);
	else if (strcmp(key, "destination") == 0)
		destination(names, text, name);
	else if (strcmp(key, "cgroup") == 0)
		path(names, PSEUDONYM_CGROUP, text, strlen(text), name);
	else if (strcmp(key, "metrics_textfile") == 0)
		path(names, PSEUDONYM_FILE, text, strlen(text), name);
	else if ((strcmp(key, "local") != 0 && strcmp(key, "peer") != 0) ||
		 !address(names, text, strlen(text), name)) {
		fputs(text, out);
		return;
	}
	fputs(name, out);
}

/* Copies the text up to the quotation mark that ends it. Returns what is behind that, or NULL. */
static const char *take_quoted(const char *text, char *copy, size_t room)
{
	size_t size = 0;

	for (; *text && *text != '"'; text++) {
		if (text[0] == '\\' && text[1]) {
			if (size < room - 1)
				copy[size++] = *text;
			text++;
		}
		if (size < room - 1)
			copy[size++] = *text;
	}
	copy[size] = '\0';
	return *text ? text + 1 : NULL;
}

void pseudonyms_in_json(struct pseudonyms *names, const char *text, FILE *out)
{
	char key[64] = "", quoted[8192];
	const char *quote, *behind;

	while ((quote = strchr(text, '"')) &&
	       (behind = take_quoted(quote + 1, quoted, sizeof(quoted)))) {
		fwrite(text, 1, (size_t)(quote - text) + 1, out);
		if (behind[0] == ':') {
			snprintf(key, sizeof(key), "%.63s", quoted);
			fputs(quoted, out);
		} else {
			value(names, key, quoted, out);
		}
		fputc('"', out);
		text = behind;
	}
	fputs(text, out);
}

/* --- metrics --- */

void pseudonyms_in_metrics(struct pseudonyms *names, const char *text, FILE *out)
{
	static const char label[] = "rule=\"";
	char name[PSEUDONYM_MAX];
	const char *found;
	size_t size;

	while ((found = strstr(text, label))) {
		found += sizeof(label) - 1;
		size = strcspn(found, "\"");
		fwrite(text, 1, (size_t)(found - text), out);
		fputs(pseudonym_for(names, PSEUDONYM_RULE, found, size, name), out);
		text = found + size;
	}
	fputs(text, out);
}

/* --- messages --- */

/* What is replaced at some place of a message: so much, by that. */
struct replacement {
	size_t size;
	char by[PSEUDONYM_MAX + 2];
};

/* An address, perhaps with a port behind it or a prefix's length. */
static bool at_address(struct pseudonyms *names, const char *text, struct replacement *r)
{
	size_t size = strspn(text, "0123456789abcdefABCDEF:.");

	/* What ends a sentence, or stands before a port, isn't of the address. */
	for (; size; size--) {
		if (address(names, text, size, r->by)) {
			r->size = size;
			return true;
		}
		while (size > 1 && text[size - 1] != ':' && text[size - 1] != '.')
			size--;
	}
	return false;
}

static bool at_path(struct pseudonyms *names, const char *text, struct replacement *r)
{
	if (text[0] != '/')
		return false;
	r->size = strcspn(text, " ,;:()'\"\n");
	path(names, PSEUDONYM_FILE, text, r->size, r->by);
	return true;
}

static bool at_quotation(struct pseudonyms *names, const char *text, struct replacement *r)
{
	const char *end = text[0] == '"' || text[0] == '\'' ? strchr(text + 1, text[0]) : NULL;
	char name[PSEUDONYM_MAX];

	if (!end)
		return false;
	r->size = (size_t)(end - text) + 1;
	snprintf(r->by, sizeof(r->by), "%c%s%c", text[0],
		 pseudonym_for(names, PSEUDONYM_TEXT, text + 1, r->size - 2, name), text[0]);
	return true;
}

/* "COMMAND[PID]: ", which may have blanks. */
static bool at_command(struct pseudonyms *names, const char *text, struct replacement *r)
{
	size_t digits;

	r->size = strcspn(text, "[,\n");
	digits = text[r->size] == '[' ? strspn(text + r->size + 1, "0123456789") : 0;
	if (!r->size || !digits || text[r->size + 1 + digits] != ']')
		return false;
	pseudonym_for(names, PSEUDONYM_COMMAND, text, r->size, r->by);
	return true;
}

static bool at_rule(struct pseudonyms *names, const char *text, struct replacement *r)
{
	r->size = strcspn(text, " :,\n");
	if (!r->size || (text[r->size] != ':' && text[r->size] != ',' &&
			 strncmp(text + r->size, " says ", 6) != 0))
		return false;
	pseudonym_for(names, PSEUDONYM_RULE, text, r->size, r->by);
	return true;
}

static bool at_host(struct pseudonyms *names, const char *text, struct replacement *r)
{
	r->size = strcspn(text, " :,\n");
	if (!r->size)
		return false;
	pseudonym_for(names, PSEUDONYM_HOST, text, r->size, r->by);
	return true;
}

/* Whether the message so far ends in these words. */
static bool after(const char *begin, const char *at, const char *words)
{
	size_t size = strlen(words);

	return (size_t)(at - begin) >= size && memcmp(at - size, words, size) == 0;
}

static bool find(struct pseudonyms *names, const char *begin, const char *at, struct replacement *r)
{
	if (at > begin && (isalnum((unsigned char)at[-1]) || strchr("_-.", at[-1])))
		return false; /* in the middle of a word */
	if (after(begin, at, "rule ") && at_rule(names, at, r))
		return true;
	if (after(begin, at, "host name ") && at_host(names, at, r))
		return true;
	if (after(begin, at, ", ") && at_command(names, at, r))
		return true;
	return at_quotation(names, at, r) || at_path(names, at, r) || at_address(names, at, r);
}

void pseudonyms_in_text(struct pseudonyms *names, const char *text, FILE *out)
{
	struct replacement r;
	const char *at = text;

	while (*at) {
		if (find(names, text, at, &r)) {
			fputs(r.by, out);
			at += r.size;
		} else {
			fputc(*at++, out);
		}
	}
}

void pseudonyms_free(struct pseudonyms *names)
{
	size_t kind, i;

	for (kind = 0; kind < PSEUDONYM_KINDS; kind++) {
		for (i = 0; i < names->n[kind]; i++)
			free(names->names[kind][i]);
		free(names->names[kind]);
	}
	memset(names, 0, sizeof(*names));
}
