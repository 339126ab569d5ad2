// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/closed.h"

#include "sockets/old/old.h"

/* A socket on which a sweep fails was reported as restored before. */
int given_back_count(const void *record, void *arg)
{
	const struct hf_sweep *sweep = record;
	struct given_back *given_back = arg;

	if (sweep->what == HF_SWEPT_RESTORED) {
		given_back->restored++;
		given_back->last = sweep->cookie;
	} else if (sweep->what == HF_SWEPT_FAILED) {
		given_back->failed++;
		if (given_back->last == sweep->cookie)
			given_back->restored--;
	}
	return 0;
}

int closed_restore(const struct data_plane *plane, struct given_back *closed, struct error *e)
{
	struct old_round round = OLD_ROUND_INIT(plane);
	int err;

	*closed = (struct given_back){0};
	err = old_restore_closed(&round, given_back_count, closed, &closed->left, e);
	old_round_free(&round);
	return err;
}

void closed_tell(const struct log *log, const struct given_back *closed, size_t before)
{
	if (closed->left && closed->left != before)
		log_warning(log,
			    "%zu closed connection%s no longer matched and could not be reached: "
			    "the rules' values stay",
			    closed->left, closed->left == 1 ? "" : "s");
}
