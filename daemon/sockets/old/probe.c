// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/clock.h"
#include "base/util.h"
#include "sockets/old/old.h"
#include "sockets/old/options.h"
#include "sockets/old/pass.h"
#include "sockets/old/record.h"

#include <bpf/bpf.h>
#include <netinet/tcp.h>

/* Probes one socket, as hf_probe does. */
static void probe(struct old_pass *pass, const struct hf_look *look, uint32_t until)
{
	uint32_t ticks = (uint32_t)(clock_ns(CLOCK_MONOTONIC) >> HF_PROBE_SHIFT);
	_cleanup_close_ int fd = old_pass_get(pass, look->view.cookie, look->inode);
	struct hf_record record, hushed;

	if (fd < 0 || bpf_map_lookup_elem(pass->sockets_fd, &fd, &record) < 0 || record.left_alone)
		return;
	if (until) { /* the next sweep puts the time back; a later probe by someone else goes on */
		if (record.probe_end && (int32_t)(record.probe_end - until) <= 0) {
			record.probe_end = (ticks - 1) | 1;
			old_record_write(pass->sockets_fd, fd, &record);
		}
		return;
	}
	/* This comes before the option, so that no pass takes the time for the application's. */
	record.probe_end = (ticks + HF_PROBE_TICKS) | 1; /* never 0 */
	hushed = record;
	old_record_hush(&hushed);
	if (old_record_write(pass->sockets_fd, fd, &hushed) == 0)
		old_option_set(fd, SOL_TCP, TCP_KEEPIDLE, HF_PROBE_TIME_S);
	old_record_write(pass->sockets_fd, fd, &record);
}

int old_probe(struct old_round *round, const struct netns *ns, struct error *e)
{
	struct old_pass pass;
	int err = old_pass_begin(&pass, round, ns, NULL, NULL, e);
	_cleanup_close_ int targets = err ? -1 : pins_get(&round->plane->pins, PIN_TARGETS, e);
	uint32_t until;
	size_t i;

	if (!err)
		err = targets < 0 ? targets : old_pass_read_looks(&pass, e);
	for (i = 0; !err && i < pass.looks.n; i++) {
		const struct hf_look *look = &pass.looks.list[i];

		if (look->view.netns == ns->inode && look->view.state == TCP_ESTABLISHED &&
		    bpf_map_lookup_elem(targets, &look->view.cookie, &until) == 0 &&
		    (until || (look->own.on && !look->unanswered)))
			probe(&pass, look, until);
	}
	old_pass_end(&pass);
	return err;
}
