// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files and their lines. libinih splits `key = value`, but as distributions
 * build it, it counts no lines for its handler, holds 200 bytes of a line and
 * 50 of a key, drops what is longer, takes indented lines for continuations
 * and says nothing of empty sections. So lines are read, counted and judged
 * here, sections are taken here, and libinih gets only sound lines, long ones
 * in pieces: as continuation lines, which it knows for its own.
 */
#include "conf_parse.h"
#include "text.h"
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <libgen.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

/* Longer than any sensible configuration; /dev/zero is none. */
#define FILE_MAX (16u << 20)

/* A key that libinih can hold. */
#define KEY_MAX 48

/*
 * Stands before and behind each piece of a value, so that libinih sees no blank
 * and no comment sign at its ends. It drops out again in take_piece().
 */
#define GUARD '\x01'

struct reader {
	struct conf_parser *parser;
	const char *next, *end; /* what is left of the text */
	bool first;		/* the next line is the first */

	/* The key = value that libinih is being fed. */
	char key[KEY_MAX + 1]; /* empty: none */
	const char *value;
	size_t value_size, fed;
	char *joined; /* what came back from libinih by now; owned */
	size_t joined_size;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* From libinih: the value, or the next piece of it. */
static int take_piece(void *user, const char *section, const char *key, const char *value)
{
	struct reader *reader = user;
	size_t size = strlen(value);

	(void)section;
	if (!reader->joined || strcmp(key, reader->key) != 0 || size < 2 ||
	    size - 2 > reader->value_size - reader->joined_size)
		return 0;
	memcpy(reader->joined + reader->joined_size, value + 1, size - 2);
	reader->joined_size += size - 2;
	return 1;
}

/* All of the value has gone through libinih. */
static void finish_key(struct reader *reader)
{
	struct conf_parser *parser = reader->parser;

	if (reader->joined_size != reader->value_size) {
		conf_error(parser, parser->place,
			   "libinih did not hand this line back (write it shorter)");
	} else {
		reader->joined[reader->joined_size] = '\0';
		conf_take_key(parser, reader->key, reader->joined);
	}
	free(reader->joined);
	reader->joined = NULL;
	reader->key[0] = '\0';
}

/* Writes the next piece for libinih to line, which has room for `room` bytes. */
static void feed(struct reader *reader, char *line, size_t room)
{
	size_t used, size = reader->value_size - reader->fed;

	used = (size_t)snprintf(line, room, "%s", reader->fed ? " " : reader->key);
	if (!reader->fed)
		line[used++] = '=';
	line[used++] = GUARD;
	if (size > room - used - 3)
		size = room - used - 3;
	memcpy(line + used, reader->value + reader->fed, size);
	used += size;
	line[used++] = GUARD;
	line[used++] = '\n';
	line[used] = '\0';
	reader->fed += size;
}

/* Begins with key = value; false: it is done already. */
static bool begin_key(struct reader *reader, const char *key, size_t key_size, const char *value,
		      size_t value_size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._-";
	struct conf_parser *parser = reader->parser;
	size_t i;

	for (i = 0; i < key_size && memchr(plain, key[i], sizeof(plain) - 1); i++)
		;
	if (i < key_size || key_size > KEY_MAX) {
		/* No key of ours; libinih would cut it, or split it elsewhere. */
		_cleanup_free_ char *whole = strndup(key, key_size);

		if (whole)
			conf_take_key(parser, whole, "");
		else
			parser->out_of_memory = true;
		return false;
	}
	reader->joined = malloc(value_size + 1);
	if (!reader->joined) {
		parser->out_of_memory = true;
		return false;
	}
	memcpy(reader->key, key, key_size);
	reader->key[key_size] = '\0';
	reader->value = value;
	reader->value_size = value_size;
	reader->joined_size = 0;
	reader->fed = 0;
	return true;
}

static void take_section_line(struct conf_parser *parser, const char *line, size_t size)
{
	char quote[TEXT_QUOTE_MAX];
	const char *close = memchr(line, ']', size);

	if (!close) {
		conf_error(parser, parser->place, "section header without ] (write %s])",
			   text_quote(quote, line, size));
		close = line + size;
	} else if (close + 1 != line + size) {
		conf_error(parser, parser->place,
			   "there is something behind the section header (write %s alone)",
			   text_quote(quote, line, (size_t)(close + 1 - line)));
	}
	conf_take_section(parser, line + 1, (size_t)(close - line - 1));
}

/* The line without blanks and comments; its length. */
static size_t trim(const char **line, size_t size)
{
	const char *p = *line;
	size_t i;

	while (size && blank(*p)) {
		p++;
		size--;
	}
	for (i = 0; i < size; i++) {
		if ((p[i] == '#' || p[i] == ';') && (i == 0 || blank(p[i - 1])))
			size = i;
	}
	while (size && (blank(p[size - 1]) || p[size - 1] == '\r'))
		size--;
	*line = p;
	return size;
}

/* Judges a line; true: it is a key = value, and begun. */
static bool take_line(struct reader *reader, const char *line, size_t size)
{
	struct conf_parser *parser = reader->parser;
	const char *equals, *value;
	char quote[TEXT_QUOTE_MAX];
	bool whole = true;

	if (size && line[size - 1] == '\r')
		size--;
	if (size > CONF_LINE_MAX && !parser->marked) {
		conf_error(parser, parser->place,
			   "line of %zu bytes is too long (write at most %d)", size, CONF_LINE_MAX);
		whole = false;
	}
	if (memchr(line, '\0', size)) {
		conf_error(parser, parser->place, "line has a NUL byte (write plain text)");
		whole = false;
	}
	size = trim(&line, size);
	if (!size)
		return false;
	if (!whole) {
		/* Its section is anyone's guess, so what follows can't be judged. */
		if (line[0] == '[')
			parser->section = CONF_SECTION_UNKNOWN;
		return false;
	}
	if (line[0] == '[') {
		take_section_line(parser, line, size);
		return false;
	}
	equals = memchr(line, '=', size);
	if (!equals || equals == line) {
		conf_error(
			parser, parser->place,
			"\"%s\" is neither a section nor a key with its value (write key = value)",
			text_quote(quote, line, size));
		return false;
	}
	value = equals + 1;
	size -= (size_t)(value - line);
	while (size && blank(*value)) {
		value++;
		size--;
	}
	while (equals > line && blank(equals[-1]))
		equals--;
	return begin_key(reader, line, (size_t)(equals - line), value, size);
}

/* For libinih, like fgets(): the next line for it, or NULL at the end. */
static char *read_line(char *line, int room, void *stream)
{
	struct reader *reader = stream;
	const char *newline, *begin;
	size_t size;

	if (room < 2 * KEY_MAX)
		return NULL;
	if (reader->key[0] && reader->fed < reader->value_size) {
		feed(reader, line, (size_t)room);
		return line;
	}
	if (reader->key[0])
		finish_key(reader);

	while (reader->next < reader->end) {
		begin = reader->next;
		size = (size_t)(reader->end - begin);
		newline = memchr(begin, '\n', size);
		if (newline)
			size = (size_t)(newline - begin);
		reader->next = newline ? newline + 1 : reader->end;
		reader->parser->place.line++;
		if (reader->first && size >= 3 && !memcmp(begin, "\xef\xbb\xbf", 3)) {
			begin += 3;
			size -= 3;
		}
		reader->first = false;
		if (take_line(reader, begin, size)) {
			feed(reader, line, (size_t)room);
			return line;
		}
	}
	return NULL;
}

void conf_read_text(struct conf_parser *parser, const char *text, size_t size)
{
	struct reader reader = {.parser = parser, .next = text, .end = text + size, .first = true};

	ini_parse_stream(read_line, &reader, take_piece, &reader);
	if (reader.next < reader.end || reader.key[0])
		conf_error(parser, parser->place,
			   "libinih stopped here (use a libinih with lines of at least %d bytes)",
			   2 * KEY_MAX);
	free(reader.joined);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until there is something to read, or nothing any more. -ETIMEDOUT. */
static int wait_until(int fd, int64_t deadline_ms)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};
	int64_t left_ms;
	int n;

	do {
		left_ms = deadline_ms - now_ms();
		n = poll(&input, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

/* Reads to the end; the text is the caller's to free. Negative patience: however long it takes. */
static int read_all(int fd, int patience_ms, char **text, size_t *size)
{
	int64_t deadline_ms = now_ms() + patience_ms;
	_cleanup_free_ char *buffer = NULL;
	size_t used = 0, room = 0;
	char *larger;
	ssize_t n;
	int err;

	for (;;) {
		if (used == room) {
			if (room > FILE_MAX)
				return -EFBIG;
			room = room ? 2 * room : 16384;
			larger = realloc(buffer, room);
			if (!larger)
				return -ENOMEM;
			buffer = larger;
		}
		err = patience_ms < 0 ? 0 : wait_until(fd, deadline_ms);
		if (err)
			return err;
		n = read(fd, buffer + used, room - used);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	*text = take_ptr(buffer);
	*size = used;
	return 0;
}

/* A ConfigMap's folder, for one, may be written by anyone who had a way there: nobody has. */
static bool on_read_only_mount(int fd)
{
	struct statvfs fs;

	return fstatvfs(fd, &fs) == 0 && fs.f_flag & ST_RDONLY;
}

static bool others_own(const struct stat *st)
{
	return st->st_uid != 0 && st->st_uid != geteuid();
}

static const char *other_writers(const struct stat *st)
{
	if (!(st->st_mode & (S_IWGRP | S_IWOTH)))
		return NULL;
	return st->st_mode & S_IWOTH ? "anyone" : "its group";
}

bool conf_others_write(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return false;
	if (S_ISDIR(st.st_mode) && on_read_only_mount(fd))
		return false;
	return others_own(&st) || other_writers(&st);
}

void conf_check_writers(struct conf_parser *parser, int fd)
{
	struct stat st;

	if (!conf_others_write(fd) || fstat(fd, &st) < 0)
		return;
	if (others_own(&st))
		conf_unsafe(parser, parser->place,
			    "belongs to user %u, who can change it (chown root)", st.st_uid);
	else if (other_writers(&st))
		conf_unsafe(parser, parser->place, "can be written by %s (chmod go-w)",
			    other_writers(&st));
}

/* Whoever may write to its folder can put another file in its place, unless that is as /tmp is. */
static void check_folder(struct conf_parser *parser, const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	char folder[TEXT_QUOTE_MAX];
	_cleanup_close_ int fd = -1;
	const char *name;
	struct stat st;

	if (!copy) {
		parser->out_of_memory = true;
		return;
	}
	name = dirname(copy);
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !conf_others_write(fd))
		return;
	text_quote(folder, name, strlen(name));
	if (others_own(&st))
		conf_unsafe(parser, parser->place,
			    "the folder %s belongs to user %u, who can put another file there "
			    "(chown root)",
			    folder, st.st_uid);
	else if (other_writers(&st) && !(st.st_mode & S_ISVTX))
		conf_unsafe(parser, parser->place,
			    "the folder %s can be written by %s, who can put another file there "
			    "(chmod go-w)",
			    folder, other_writers(&st));
}

bool conf_read_file(struct conf_parser *parser, const char *path, enum conf_file_kind kind)
{
	/* Else a FIFO that nobody writes to would keep open() for ever. */
	const int wait = parser->patience_ms < 0 ? 0 : O_NONBLOCK;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | wait);
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	int err;

	err = fd < 0 ? -errno : 0;
	if (err == -ENOENT && kind == CONF_FILE_IF_THERE)
		return false;
	conf_begin_file(parser, path);
	if (parser->out_of_memory)
		return true;
	if (!err)
		conf_check_writers(parser, fd);
	if (!err && kind != CONF_FILE_DROPIN)
		check_folder(parser, path);
	if (!err)
		err = read_all(fd, parser->patience_ms, &text, &size);
	if (err == -ENOMEM)
		parser->out_of_memory = true;
	else if (err)
		conf_error(parser, parser->place,
			   "can't be read: %s (name a regular file that may be read)",
			   err == -ETIMEDOUT ? "its end doesn't come" : strerror(-err));
	else
		conf_read_text(parser, text, size);
	return true;
}
