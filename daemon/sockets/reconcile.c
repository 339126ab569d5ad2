// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/reconcile.h"

#include "base/util.h"
#include "sockets/closed.h"
#include "sockets/existing.h"
#include "sockets/missing.h"
#include "sockets/route_changes.h"
#include "sockets/survey.h"
#include "sockets/sweeping.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* How often a namespace is swept before the sockets still missing count as unheld. */
#define ROUNDS 3

struct reconcile {
	const struct log *log;
	const struct data_plane *plane;
	struct wanted wanted;
	struct u64_set seen; /* inodes of namespaces that reconcile_unseen() leaves out; sorted */
	size_t unheld;	     /* at the last full pass: logged when it changes */
	uint64_t hidden;     /* netns_list.hidden of the last pass: logged when it changes */
	size_t unreached;    /* closed sockets, at the last full pass: logged when it changes */
	bool changed; /* there are new rules since the last full pass: no socket is settled */
};

struct reconcile *reconcile_new(const struct log *log, const struct data_plane *plane)
{
	struct reconcile *reconcile = calloc(1, sizeof(*reconcile));

	if (!reconcile)
		return NULL;
	reconcile->log = log;
	reconcile->plane = plane;
	return reconcile;
}

void reconcile_free(struct reconcile *reconcile)
{
	if (!reconcile)
		return;
	wanted_free(&reconcile->wanted);
	u64_set_free(&reconcile->seen);
	free(reconcile);
}

int reconcile_set_rules(struct reconcile *reconcile, const struct config *config, struct error *e)
{
	int err = wanted_set(&reconcile->wanted, config, e);

	if (!err)
		reconcile->changed = true;
	return err;
}

static bool first_pass(const struct reconcile *reconcile)
{
	return !reconcile->seen.n;
}

/* What is done to a namespace in one round. */
enum what {
	LOOK,		 /* ask sock_diag whether sockets are missing */
	SWEEP_IF_NEEDED, /* ask, and sweep if some are missing */
	SWEEP,		 /* sweep without asking */
};

/*
 * Chooses what a round does. It begins with a sweep if the kernel does that, since a sweep takes
 * less than asking whether there is anything to do, and in a first pass, since then there is.
 */
static enum what round_of(const struct reconcile *reconcile, int round)
{
	if (round == ROUNDS)
		return LOOK;
	if (round == 0 && (first_pass(reconcile) || existing_by_kernel(reconcile->plane)))
		return SWEEP;
	return SWEEP_IF_NEEDED;
}

/* What a pass knows of a namespace. */
struct looked {
	bool todo;     /* to be looked at in the next round */
	bool done;     /* its sockets have been looked at, by whatever means */
	bool gone;     /* it couldn't be looked at, and not because this process lacks something */
	size_t unheld; /* sockets that couldn't be held when it was looked at last */
};

/*
 * Does one round's work on one namespace. Returns 1 if it has to be looked at again to see whether
 * anything is left, 0 and in looked->unheld how many sockets can't be held, or a negative errno.
 */
static int look(const struct reconcile *reconcile, struct existing *existing, struct held *held,
		const struct netns *ns, enum what what, struct reconcile_result *result,
		struct looked *looked, struct error *e)
{
	struct sweeping sweeping = {.log = reconcile->log, .held = held, .result = result};
	bool prove = what == SWEEP && first_pass(reconcile);
	size_t missing = 0;
	int err = 0;

	/* A record needs a sweep, so there is no need to ask now; the next round asks. */
	if (what == SWEEP_IF_NEEDED && u64_set_have(&held->dirty, ns->inode))
		what = SWEEP;
	if (what != SWEEP)
		err = missing_count(&reconcile->wanted, held, ns, &missing, e);
	if (err) {
		/* Without sock_diag's answer sweep once all the same, and report the error. */
		if (what != LOOK && !existing_sweep(existing, ns, sweeping_count, &sweeping, NULL))
			looked->done = true;
		return err;
	}
	if (what == LOOK || (what == SWEEP_IF_NEEDED && !missing)) {
		looked->done = true;
		looked->unheld = missing;
		return 0;
	}
	err = existing_sweep(existing, ns, sweeping_count, &sweeping, e);
	if (err)
		return err;
	looked->done = true;
	if (sweeping.done || missing > sweeping.failed || prove)
		return 1;
	looked->unheld = sweeping.failed;
	return 0;
}

/*
 * Tells whether nothing seems to have been held before this pass. The sweep has then reported
 * every socket that is held, and the records needn't be read for the comparison with sock_diag.
 */
static bool all_new(const struct reconcile *reconcile, const struct reconcile_result *result)
{
	return first_pass(reconcile) && result->held && !result->changed && !result->healed &&
	       !result->restored;
}

/*
 * Works on the namespaces with `todo` set, in rounds: up to ROUNDS of them and a last look, as
 * long as there is something to do. Goes on with the next namespace if one fails (it may have
 * gone), and returns the first error.
 */
static int rounds(struct reconcile *reconcile, const struct netns_list *namespaces,
		  struct looked *looked, struct reconcile_result *result, struct error *e)
{
	struct held held = {0};
	struct error ignored;
	int round, first = 0;
	bool again = true;

	for (round = 0; again && round <= ROUNDS; round++) {
		struct existing existing = EXISTING_INIT(reconcile->plane);
		enum what what = round_of(reconcile, round);
		size_t i;
		int ret;

		if (what != SWEEP && (round != 1 || !all_new(reconcile, result))) {
			ret = held_read(reconcile->plane, namespaces, &held, first ? &ignored : e);
			if (ret)
				return ret;
		}
		again = false;
		for (i = 0; i < namespaces->n; i++) {
			if (!looked[i].todo)
				continue;
			if (data_plane_tick(reconcile->plane)) {
				existing_free(&existing);
				held_free(&held);
				return error_set(e, ECANCELED, "it makes way for a signal");
			}
			ret = look(reconcile, &existing, &held, &namespaces->list[i], what, result,
				   &looked[i], first ? &ignored : e);
			if (ret < 0 && !first)
				first = ret;
			looked[i].gone = ret < 0 && !error_is_shortage(ret);
			looked[i].todo = ret > 0;
			again = again || ret > 0;
		}
		existing_free(&existing);
	}
	held_free(&held);
	existing_forget_listeners(reconcile->plane);
	return first;
}

static void tell(struct reconcile *reconcile, bool all, const struct reconcile_result *result)
{
	const struct log *log = reconcile->log;

	if (result->held)
		log_info(log, "%zu existing connection%s held", result->held,
			 result->held == 1 ? "" : "s");
	if (result->changed)
		log_info(log, "%zu connection%s changed to the new rules", result->changed,
			 result->changed == 1 ? "" : "s");
	if (result->restored)
		log_info(log, "%zu connection%s no longer matched, given back as %s been",
			 result->restored, result->restored == 1 ? "" : "s",
			 result->restored == 1 ? "it had" : "they had");
	if (result->healed)
		log_notice(log, "%zu connection%s held again: the application had undone it",
			   result->healed, result->healed == 1 ? "" : "s");
	if (result->unheld != reconcile->unheld && result->unheld)
		log_warning(log,
			    "%zu connection%s can't be held: the kernel refuses to set keepalive "
			    "(holdfast status exposed)",
			    result->unheld, result->unheld == 1 ? "" : "s");
	if (result->kept)
		log_warning(
			log,
			"%zu connection%s no longer matched and can't be given back: the kernel "
			"refuses to set keepalive, the rules' values stay",
			result->kept, result->kept == 1 ? "" : "s");
	if (all)
		reconcile->unheld = result->unheld;
}

static void tell_hidden(struct reconcile *reconcile, const struct netns_list *namespaces)
{
	if (namespaces->hidden && namespaces->hidden != reconcile->hidden)
		log_warning(reconcile->log,
			    "network namespace %" PRIu64
			    " can't be looked after: only sockets keep "
			    "it alive, and process %d won't share it: %s (is "
			    "kernel.yama.ptrace_scope 3?)",
			    namespaces->hidden, (int)namespaces->hidden_pid,
			    strerror(namespaces->hidden_errno));
	reconcile->hidden = namespaces->hidden;
}

/*
 * Clears `todo` of the namespaces in which the survey finds nothing to do, since a survey takes
 * less than sweeping them. Takes none in a first pass or after a change of rules, when there is
 * something to do anyway.
 */
static void skip_settled(const struct reconcile *reconcile, const struct netns_list *namespaces,
			 struct looked *looked)
{
	struct survey survey;
	size_t i;

	if (first_pass(reconcile) || reconcile->changed)
		return;
	survey_take(reconcile->plane, namespaces, &survey);
	for (i = 0; i < namespaces->n; i++) {
		looked[i].done = !survey_has_todo(&survey, namespaces->list[i].inode);
		looked[i].todo = looked[i].todo && !looked[i].done;
	}
	survey_free(&survey);
}

/*
 * Tells whether a full pass has looked at the sockets of all namespaces that can be had. One that
 * has come to none of them was of no use, nor was one that lacked descriptors or memory for some.
 */
static bool has_looked(const struct looked *looked, size_t n)
{
	bool any = false;
	size_t i;

	for (i = 0; i < n && (looked[i].done || looked[i].gone); i++)
		any = any || looked[i].done;
	return i == n && any;
}

/* Gives back what is closed and no rule holds any more, after a change of rules or a failure. */
static int restore_closed(struct reconcile *reconcile, struct reconcile_result *result,
			  struct error *e)
{
	struct given_back closed;
	int err;

	if (!reconcile->changed && !reconcile->unreached)
		return 0;
	err = closed_restore(reconcile->plane, &closed, e);
	result->restored += closed.restored;
	result->kept += closed.failed;
	closed_tell(reconcile->log, &closed, reconcile->unreached);
	reconcile->unreached = closed.left;
	return err;
}

static int pass(struct reconcile *reconcile, bool all, struct reconcile_result *result,
		struct error *e)
{
	struct netns_list namespaces;
	struct u64_set seen = {0};
	_cleanup_free_ struct looked *looked = NULL;
	struct error ignored;
	size_t i;
	int err, closed;

	*result = (struct reconcile_result){0};
	err = netns_find(&reconcile->plane->pins, &namespaces, e);
	if (err)
		return err;
	tell_hidden(reconcile, &namespaces);
	scope_open(&reconcile->wanted.scope, reconcile->plane);
	looked = calloc(namespaces.n + 1, sizeof(*looked));
	err = looked ? 0 : error_set(e, ENOMEM, "out of memory");
	for (i = 0; !err && i < namespaces.n; i++) {
		bool before = u64_set_have(&reconcile->seen, namespaces.list[i].inode);

		if (!before && i > 0)
			route_changes_hear(&namespaces.list[i]);
		looked[i].todo = all || !before;
		result->namespaces += looked[i].todo;
	}
	closed = err || !all ? 0 : restore_closed(reconcile, result, e);
	if (!err && result->namespaces) {
		skip_settled(reconcile, &namespaces, looked);
		err = rounds(reconcile, &namespaces, looked, result, closed ? &ignored : e);
		for (i = 0; i < namespaces.n; i++)
			result->unheld += looked[i].unheld;
		result->looked = has_looked(looked, namespaces.n);
		tell(reconcile, all, result);
	}
	err = closed ? closed : err;
	/* A namespace with sockets that can't be held yet is looked at again at the next event. */
	for (i = 0; !err && i < namespaces.n; i++) {
		if (!looked[i].unheld && u64_set_add(&seen, namespaces.list[i].inode))
			err = error_set(e, ENOMEM, "out of memory");
	}
	scope_close(&reconcile->wanted.scope);
	netns_list_free(&namespaces);
	if (err) {
		u64_set_free(&seen);
		return err;
	}
	u64_set_sort(&seen);
	u64_set_free(&reconcile->seen);
	reconcile->seen = seen;
	reconcile->changed = reconcile->changed && !all;
	return 0;
}

int reconcile_all(struct reconcile *reconcile, struct reconcile_result *result, struct error *e)
{
	return pass(reconcile, true, result, e);
}

int reconcile_unseen(struct reconcile *reconcile, struct reconcile_result *result, struct error *e)
{
	return pass(reconcile, false, result, e);
}
