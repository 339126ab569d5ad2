// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/old/pass.h"

#include "base/util.h"
#include "bpf/match.h"
#include "host/iterate.h"
#include "kernel/rules_map.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

/* States in which the application still has the connection. */
#define STATES (1u << TCP_ESTABLISHED | 1u << TCP_CLOSE_WAIT)

_Static_assert(offsetof(struct hf_look, view) == 0 && offsetof(struct hf_view, cookie) == 0 &&
		       offsetof(struct diag_socket, cookie) == 0,
	       "they are sorted by their cookies");

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

int old_pass_read_looks(struct old_pass *pass, struct error *e)
{
	struct netns ns = *pass->ns;
	const struct netns_list only = {.list = &ns, .n = 1};
	int err;

	pass->looks.n = 0;
	err = iterate_all(pass->round->plane, PIN_LOOK, PIN_LOOK_HERE, &only,
			  sizeof(struct hf_look), add_look, &pass->looks, e);
	if (!err)
		sort_by_u64(pass->looks.list, pass->looks.n, sizeof(struct hf_look));
	return err;
}

int old_pass_read_closed(struct old_pass *pass, struct error *e)
{
	const struct pins *pins = &pass->round->plane->pins;
	const char *iterator = pins_has(pins, PIN_CLOSED) ? PIN_CLOSED : PIN_CLOSED_FILES;
	struct looks *looks = &pass->looks;
	size_t i, kept = 0;
	int err;

	looks->n = 0;
	err = iter_run(pins, iterator, sizeof(struct hf_look), add_look, looks, e);
	if (err == -ENOENT) /* of an older version, or this kernel can't tell */
		return 0;
	sort_by_u64(looks->list, looks->n, sizeof(struct hf_look));
	for (i = 0; i < looks->n; i++) {
		if (!kept || looks->list[i].view.cookie != looks->list[kept - 1].view.cookie)
			looks->list[kept++] = looks->list[i];
	}
	looks->n = kept;
	return err;
}

static void no_diags(void *arg)
{
	struct diags *diags = arg;

	diags->n = 0;
}

int old_pass_read_diags(struct old_pass *pass, struct error *e)
{
	const struct diag_dump all = {.states = STATES,
				      .filter = &pass->round->filter,
				      .fn = add_diag,
				      .restart = no_diags,
				      .arg = &pass->diags};
	int err = sockdiag_read(pass->ns, &all, e);

	if (!err)
		sort_by_u64(pass->diags.list, pass->diags.n, sizeof(struct diag_socket));
	return err;
}

const struct hf_look *old_pass_look(const struct old_pass *pass, uint64_t cookie)
{
	return sorted_find(pass->looks.list, pass->looks.n, sizeof(struct hf_look), cookie);
}

const struct diag_socket *old_pass_diag(const struct old_pass *pass, uint64_t cookie)
{
	return sorted_find(pass->diags.list, pass->diags.n, sizeof(struct diag_socket), cookie);
}

bool old_pass_match(const struct old_pass *pass, __u8 family, const __u8 peer[16], __u16 local_port,
		    __u16 peer_port, enum hf_opener opener, struct hf_rule *rule,
		    enum hf_side *side)
{
	struct hf_flow flow = {.family = family,
			       .opener = (__u8)opener,
			       .local_port = local_port,
			       .peer_port = peer_port};

	memcpy(flow.peer, peer, sizeof(flow.peer));
	hf_flow_unmap(&flow);
	return rules_map_match(pass->round->plane, &flow, rule, side);
}

enum hf_opener old_pass_opener(struct old_pass *pass, __u8 family, const __u8 local[16],
			       __u16 local_port, enum hf_opener otherwise)
{
	struct error ignored;

	if (!pass->knows_listeners)
		listeners_read(pass->ns, &pass->listeners, &ignored);
	pass->knows_listeners = true;
	return listeners_have(&pass->listeners, family, local, local_port) ? HF_OPENER_PEER
									   : otherwise;
}

int old_pass_open_sockets(struct old_pass *pass, struct error *e)
{
	pass->sockets_fd = pins_get(&pass->round->plane->pins, PIN_SOCKETS, e);
	return pass->sockets_fd < 0 ? pass->sockets_fd : 0;
}

int old_pass_begin(struct old_pass *pass, struct old_round *round, const struct netns *ns,
		   iter_fn fn, void *arg, struct error *e)
{
	int err;

	*pass = (struct old_pass)OLD_PASS_INIT(round, ns, fn, arg);
	err = old_round_prepare(round, e);
	return err ? err : old_pass_open_sockets(pass, e);
}

void old_pass_end(struct old_pass *pass)
{
	if (pass->sockets_fd >= 0)
		close(pass->sockets_fd);
	free(pass->looks.list);
	free(pass->diags.list);
	listeners_free(&pass->listeners);
}

int old_pass_skip(struct old_pass *pass, int err, const char *what)
{
	if (err != -ENOENT && !pass->failed) {
		pass->failed = err;
		pass->failed_at = what;
	}
	return err;
}

int old_pass_get(struct old_pass *pass, uint64_t cookie, uint32_t inode)
{
	const struct owner *owners;
	size_t n = 0;
	int fd;

	owners = inode ? owners_of(&pass->round->owners, cookie, inode, &n) : NULL;
	fd = pidfd_socket_get(&pass->round->helper, owners, n, cookie);
	if (fd < 0)
		old_pass_skip(pass, fd, "other processes' sockets can't be taken (pidfd_getfd)");
	return fd;
}
