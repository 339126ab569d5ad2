// SPDX-License-Identifier: GPL-2.0-or-later
#include "adoption.h"

#include "util.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

#define DUMPS 5 /* how often an interrupted sock_diag dump is asked for again */

/* Connections that the application still has. */
#define STATES (1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT)

static int by_cookie(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b; /* the first member of both */

	return *x < *y ? -1 : *x > *y;
}
_Static_assert(offsetof(struct hf_look, view) == 0 && offsetof(struct hf_view, cookie) == 0 &&
		       offsetof(struct diag_socket, cookie) == 0,
	       "by_cookie() looks there");

static int add_look(const void *record, void *arg)
{
	struct looks *looks = arg;

	if (array_grow(&looks->list, looks->n, &looks->room, sizeof(*looks->list)))
		return -ENOMEM;
	memcpy(&looks->list[looks->n++], record, sizeof(*looks->list));
	return 0;
}

static int add_diag(const struct diag_socket *socket, void *arg)
{
	struct diags *diags = arg;

	if (array_grow(&diags->list, diags->n, &diags->room, sizeof(*diags->list)))
		return -ENOMEM;
	diags->list[diags->n++] = *socket;
	return 0;
}

int adoption_read_looks(struct adoption *adoption, struct error *e)
{
	struct netns ns = *adoption->ns;
	const struct netns_list only = {.list = &ns, .n = 1};
	int err;

	adoption->looks.n = 0;
	err = plane_iterate_all(adoption->adopter->plane, PIN_LOOK, PIN_LOOK_HERE, &only,
				sizeof(struct hf_look), add_look, &adoption->looks, e);
	if (!err && adoption->looks.n)
		qsort(adoption->looks.list, adoption->looks.n, sizeof(struct hf_look), by_cookie);
	return err;
}

int adoption_read_diags(struct adoption *adoption, struct error *e)
{
	int err, tries = 0;

	do {
		_cleanup_close_ int fd = sockdiag_open_in(adoption->ns, e);

		if (fd < 0)
			return fd;
		adoption->diags.n = 0;
		err = sockdiag_dump(fd, STATES, &adoption->adopter->filter, false, add_diag,
				    &adoption->diags, e);
	} while (err == -EINTR && ++tries < DUMPS);
	if (!err && adoption->diags.n)
		qsort(adoption->diags.list, adoption->diags.n, sizeof(struct diag_socket),
		      by_cookie);
	return err;
}

bool adoption_listens(struct adoption *adoption, uint16_t port)
{
	struct error ignored;

	if (!adoption->knows_listeners)
		sockdiag_listeners(adoption->ns, &adoption->listeners, &ignored);
	adoption->knows_listeners = true;
	return numbers_have(&adoption->listeners, port);
}

const struct hf_look *adoption_look(const struct adoption *adoption, uint64_t cookie)
{
	return adoption->looks.n ? bsearch(&cookie, adoption->looks.list, adoption->looks.n,
					   sizeof(struct hf_look), by_cookie)
				 : NULL;
}

const struct diag_socket *adoption_diag(const struct adoption *adoption, uint64_t cookie)
{
	return adoption->diags.n ? bsearch(&cookie, adoption->diags.list, adoption->diags.n,
					   sizeof(struct diag_socket), by_cookie)
				 : NULL;
}

int adoption_begin(struct adoption *adoption, struct adopter *adopter, const struct netns *ns,
		   iter_fn fn, void *arg, struct error *e)
{
	int err;

	*adoption = (struct adoption){
		.adopter = adopter, .ns = ns, .fn = fn, .arg = arg, .sockets_fd = -1};
	err = adopter_prepare(adopter, e);
	if (err)
		return err;
	adoption->sockets_fd = pins_get(&adopter->plane->pins, PIN_SOCKETS, e);
	return adoption->sockets_fd < 0 ? adoption->sockets_fd : 0;
}

void adoption_end(struct adoption *adoption)
{
	if (adoption->sockets_fd >= 0)
		close(adoption->sockets_fd);
	free(adoption->looks.list);
	free(adoption->diags.list);
	numbers_free(&adoption->listeners);
}

int adoption_skip(struct adoption *adoption, int err, const char *what)
{
	if (err != -ENOENT && !adoption->failed) {
		adoption->failed = err;
		adoption->failed_at = what;
	}
	return err;
}

int adoption_grab(struct adoption *adoption, uint64_t cookie, uint32_t inode)
{
	const struct owner *owners;
	size_t n = 0;
	int fd;

	owners = inode ? owners_of(&adoption->adopter->owners, cookie, inode, &n) : NULL;
	fd = grab_socket(&adoption->adopter->grabber, owners, n, cookie);
	if (fd < 0)
		adoption_skip(adoption, fd,
			      "sockets of other processes can't be had (pidfd_getfd)");
	return fd;
}
