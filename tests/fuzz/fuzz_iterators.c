// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what is read from the pinned iterators: owners of sockets, and views, which become the
 * sockets of a snapshot, and what `status` shows of those sockets. The input begins with the number
 * of owners (one byte) and with one struct diag_socket, sock_diag's part of every socket.
 */
#include "rules.h"

#include "kernel/iter.h"
#include "show/status.h"

#include <errno.h>
#include <json-c/json.h>
#include <sys/mman.h>
#include <unistd.h>

#define GENERATION 1

/* Returns a descriptor from which the bytes can be read. The caller closes it. */
static int to_fd(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static void check_socket(const struct snapshot_socket *socket)
{
	struct json_stream json = {0};
	struct json_object *object;
	char cell[STATUS_CELL_MAX], *text = NULL;
	size_t size;
	int column;

	json.out = open_memstream(&text, &size);
	check(json.out);
	json_stream_open(&json, NULL, '{');
	status_socket_print(&json, socket);
	json_stream_close(&json, '}');
	check(fclose(json.out) == 0);
	object = json_tokener_parse(text);
	check(object && json_object_object_length(object) == 23);
	json_object_put(object);
	free(text);
	for (column = 0; column < N_COLUMNS; column++) {
		status_cell(cell, sizeof(cell), socket, (enum status_column)column);
		check(memchr(cell, '\0', sizeof(cell)));
		check_printable(cell, strlen(cell));
		check(!strchr(cell, '\n'));
	}
}

struct joining {
	struct snapshot *snapshot;
	struct diag_socket diag;
};

static int take_view(const void *record, void *arg)
{
	struct joining *joining = arg;
	const struct hf_view *view = record;
	struct snapshot *snapshot = joining->snapshot;
	struct snapshot_socket *socket;
	size_t n = snapshot->n;

	joining->diag.cookie = view->cookie;
	joining->diag.family = view->family == 4 ? 4 : 6;
	memcpy(joining->diag.local, view->local, sizeof(view->local));
	memcpy(joining->diag.peer, view->peer, sizeof(view->peer));
	if (snapshot_add(snapshot, &joining->diag, view, view->netns) || snapshot->n == n)
		return 0;
	socket = &snapshot->sockets[n];
	check(socket->rule >= snapshot->config.rules &&
	      socket->rule < snapshot->config.rules + snapshot->config.n_rules);
	socket->owners =
		owners_of(&snapshot->owners, view->cookie, joining->diag.inode, &socket->n_owners);
	check_socket(socket);
	return 0;
}

/* Moves the first n bytes of the data to `out`; where the data ends sooner, the rest is zero. */
static void take(const uint8_t **data, size_t *size, void *out, size_t n)
{
	size_t there = *size < n ? *size : n;

	memset(out, 0, n);
	if (there)
		memcpy(out, *data, there);
	*data += there;
	*size -= there;
}

void fuzz_iterators(const uint8_t *data, size_t size)
{
	struct snapshot snapshot = {.config = *some_rules(), .generation = GENERATION};
	struct joining joining = {.snapshot = &snapshot};
	struct error e = {0};
	uint8_t n_owners;
	size_t length;
	int fd, ret;

	take(&data, &size, &n_owners, 1);
	take(&data, &size, &joining.diag, sizeof(joining.diag));
	if (joining.diag.timer != 2)
		joining.diag.unanswered = 0;
	length = n_owners * sizeof(struct hf_owner);
	fd = to_fd(data, length < size ? length : size);
	ret = owners_read(fd, &snapshot.owners, &e);
	close(fd);
	check(ret == 0 || (ret == -EPROTO && e.text[0] && size < length));
	if (size > length) {
		fd = to_fd(data + length, size - length);
		ret = iter_read(fd, sizeof(struct hf_view), take_view, &joining, &e);
		close(fd);
		check((ret == 0) == ((size - length) % sizeof(struct hf_view) == 0));
	}
	snapshot.config = (struct config){0}; /* owned by some_rules() */
	snapshot_free(&snapshot);
}
