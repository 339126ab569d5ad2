// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads files and cuts them into lines: comments, section headers, and keys with their values. */
#include "base/clock.h"
#include "base/text.h"
#include "base/util.h"
#include "conf/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* Limits the size of a file, in bytes: no configuration is that large, but /dev/zero never ends. */
#define FILE_MAX (16u << 20)

static bool blank(char c)
{
	return c == ' ' || c == '\t';
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

/* Trims blanks and a comment off a line. Moves *line to what is left, and returns its length. */
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

static void take_key_line(struct conf_parser *parser, const char *line, size_t size)
{
	_cleanup_free_ char *key = NULL, *value = NULL;
	const char *equals = memchr(line, '=', size), *begin, *end = equals;
	char quote[TEXT_QUOTE_MAX];

	if (!equals || equals == line) {
		conf_error(
			parser, parser->place,
			"\"%s\" is neither a section nor a key with its value (write key = value)",
			text_quote(quote, line, size));
		return;
	}
	while (end > line && blank(end[-1]))
		end--;
	for (begin = equals + 1; begin < line + size && blank(*begin); begin++)
		;
	key = strndup(line, (size_t)(end - line));
	value = strndup(begin, (size_t)(line + size - begin));
	if (key && value)
		conf_take_key(parser, key, value);
	else
		parser->out_of_memory = true;
}

static void take_line(struct conf_parser *parser, const char *line, size_t size)
{
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
		return;
	if (!whole && line[0] == '[')
		/* Which section begins here isn't known, so the keys that follow are ignored. */
		parser->section = CONF_SECTION_UNKNOWN;
	else if (whole && line[0] == '[')
		take_section_line(parser, line, size);
	else if (whole)
		take_key_line(parser, line, size);
}

void conf_read_text(struct conf_parser *parser, const char *text, size_t size)
{
	const char *end = text + size, *newline;

	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		text += 3;
	while (text < end) {
		newline = memchr(text, '\n', (size_t)(end - text));
		parser->place.line++;
		take_line(parser, text, (size_t)((newline ? newline : end) - text));
		text = newline ? newline + 1 : end;
	}
}

/* Waits for input or the end of the file. Returns 0, -ETIMEDOUT, or -errno of poll(). */
static int wait_until(int fd, int64_t deadline_ms)
{
	struct pollfd input = {.fd = fd, .events = POLLIN};
	int64_t left_ms;
	int n;

	do {
		left_ms = deadline_ms - monotonic_ms();
		n = poll(&input, 1, left_ms > 0 ? (int)left_ms : 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

/* Reads to the end; the caller frees the text. Waits without limit if patience_ms is negative. */
static int read_all(int fd, int patience_ms, char **text, size_t *size)
{
	int64_t deadline_ms = monotonic_ms() + patience_ms;
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

/* Returns whether a folder is on a read-only mount, where its mode doesn't matter: a ConfigMap's
 * folder, for example, is writable by anyone according to its mode. */
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

/* Warns if others can write to the folder of a file, and thereby put another file in its place. In
 * a folder with the sticky bit, like /tmp, they can't. */
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

void conf_begin_file(struct conf_parser *parser, const char *name)
{
	char **files, *copy;

	files = realloc(parser->files, (parser->n_files + 1) * sizeof(*files));
	copy = strdup(name);
	if (files)
		parser->files = files;
	if (!files || !copy) {
		free(copy);
		parser->out_of_memory = true;
		return;
	}
	parser->place = (struct conf_place){.file = parser->n_files};
	parser->files[parser->n_files++] = copy;
	parser->section = CONF_SECTION_NONE;
}

bool conf_read_file(struct conf_parser *parser, const char *path, enum conf_file_kind kind)
{
	/* Without O_NONBLOCK, open() would wait forever on a FIFO that nobody writes to. */
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
			   err == -ETIMEDOUT ? "it has no end" : strerror(-err));
	else
		conf_read_text(parser, text, size);
	return true;
}
