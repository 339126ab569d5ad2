// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/sweeping.h"

#include <errno.h>
#include <inttypes.h>

static size_t *count_of(struct reconcile_result *result, unsigned what)
{
	switch (what) {
	case HF_SWEPT_HELD:
		return &result->held;
	case HF_SWEPT_CHANGED:
		return &result->changed;
	case HF_SWEPT_HEALED:
		return &result->healed;
	case HF_SWEPT_RESTORED:
		return &result->restored;
	default:
		return NULL;
	}
}

/*
 * Takes a socket out of the counts. The sweep reports what it is going to do to a socket, and once
 * more if that fails.
 */
static void take_back(struct sweeping *sweeping, uint64_t cookie)
{
	bool told = sweeping->last && sweeping->last_cookie == cookie;

	cookie_set_remove(&sweeping->held->settled, cookie);
	if (told && sweeping->last == &sweeping->result->restored)
		sweeping->result->kept++;
	else
		sweeping->failed++;
	if (told) {
		--*sweeping->last;
		sweeping->done--;
	}
}

int sweeping_count(const void *record, void *arg)
{
	const struct hf_sweep *sweep = record;
	struct sweeping *sweeping = arg;
	size_t *count = count_of(sweeping->result, sweep->what);
	static const char *const words[] = {
		[HF_SWEPT_HELD] = "held",	  [HF_SWEPT_CHANGED] = "changed",
		[HF_SWEPT_HEALED] = "held again", [HF_SWEPT_RESTORED] = "given back",
		[HF_SWEPT_FAILED] = "refused",
	};

	if (sweep->what == HF_SWEPT_MARKED)
		sweeping->result->marked++;
	if (sweep->what == HF_SWEPT_OTHER_SIDE)
		return cookie_set_add(&sweeping->held->others, sweep->cookie);
	if (!count && sweep->what != HF_SWEPT_FAILED)
		return 0;
	if (sweep->what == HF_SWEPT_HELD && cookie_set_add(&sweeping->held->settled, sweep->cookie))
		return -ENOMEM;
	if (count) {
		++*count;
		sweeping->done++;
	} else {
		take_back(sweeping, sweep->cookie);
	}
	sweeping->last = count;
	sweeping->last_cookie = sweep->cookie;
	log_debug(sweeping->log,
		  "socket %" PRIu64 " (ports %u to %u, network namespace %" PRIu64 "): %s",
		  (uint64_t)sweep->cookie, sweep->local_port, sweep->peer_port,
		  (uint64_t)sweep->netns, words[sweep->what]);
	return 0;
}
