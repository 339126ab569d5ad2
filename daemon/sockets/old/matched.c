// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/util.h"
#include "host/socket_options.h"
#include "sockets/old/old.h"
#include "sockets/old/pass.h"

#include <errno.h>
#include <string.h>

/* Gives fn a view of one socket if a rule matches, as hf_matched does. Returns what fn returns. */
static int view(struct old_pass *pass, const struct diag_socket *diag)
{
	struct hf_view view = {.cookie = diag->cookie, .netns = pass->ns->inode};
	_cleanup_close_ int fd = -1;
	struct hf_rule rule;
	enum hf_side side;

	if (!old_pass_match(pass, diag->family, diag->peer, diag->local_port, diag->peer_port,
			    old_pass_opener(pass, diag->family, diag->local, diag->local_port,
					    HF_OPENER_US),
			    &rule, &side) ||
	    !scope_has(&pass->round->scope, diag->cgroup_id))
		return 0;
	fd = old_pass_get(pass, diag->cookie, diag->inode);
	if (fd == -ENOENT)
		return 0; /* no process has it open any more */
	if (fd >= 0)
		socket_options_read(fd,
				    &view.now); /* else it can't be held either: it is exposed */
	view.flags = HF_VIEW_MATCH;
	view.rule = rule.index;
	view.generation = rule.generation;
	view.side = (__u8)side;
	view.state = diag->state;
	view.family = diag->family;
	view.local_port = diag->local_port;
	view.peer_port = diag->peer_port;
	memcpy(view.local, diag->local, sizeof(view.local));
	memcpy(view.peer, diag->peer, sizeof(view.peer));
	return pass->fn(&view, pass->arg);
}

int old_matched(struct old_round *round, const struct netns *ns, iter_fn fn, void *arg,
		struct error *e)
{
	struct old_pass pass;
	int err = old_pass_begin(&pass, round, ns, fn, arg, e);
	size_t i;

	if (!err)
		err = old_pass_read_diags(&pass, e);
	for (i = 0; !err && i < pass.diags.n; i++)
		err = view(&pass, &pass.diags.list[i]);
	old_pass_end(&pass);
	return err;
}
