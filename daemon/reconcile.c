// SPDX-License-Identifier: GPL-2.0-or-later
#include "reconcile.h"

#include "cookies.h"
#include "existing.h"
#include "lpm.h"
#include "numbers.h"
#include "survey.h"
#include "util.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <string.h>

/* How often a namespace is swept before what is left is called unheld. */
#define ROUNDS 3

/* How often an interrupted sock_diag dump is asked for again. */
#define DUMPS 5

struct reconcile {
	const struct log *log;
	const struct plane *plane;
	struct lpm *lpm;
	struct port_filter filter;
	struct numbers seen; /* inodes of namespaces that a pass has looked at; sorted */
	size_t unheld;	     /* at the last full pass: told when it changes */
	uint64_t hidden;     /* the inode of a namespace that can't be had: likewise */
	bool changed;	     /* the rules, since then: every held socket has something to do */
	struct scope scope;  /* of the pass under way */
};

struct reconcile *reconcile_new(const struct log *log, const struct plane *plane)
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
	lpm_free(reconcile->lpm);
	port_filter_free(&reconcile->filter);
	numbers_free(&reconcile->seen);
	free(reconcile);
}

int reconcile_set_rules(struct reconcile *reconcile, const struct config *config, struct error *e)
{
	_cleanup_free_ struct rule_entry *entries = NULL;
	struct port_filter filter;
	struct lpm *lpm;
	size_t n;
	int err;

	err = rules_compile(config, 0, &entries, &n, e);
	if (err)
		return err;
	lpm = lpm_new(entries, n);
	if (!lpm || port_filter_init(&filter, config) < 0) {
		lpm_free(lpm);
		return error_set(e, ENOMEM, "out of memory");
	}
	lpm_free(reconcile->lpm);
	port_filter_free(&reconcile->filter);
	reconcile->lpm = lpm;
	reconcile->filter = filter;
	reconcile->changed = true;
	return 0;
}

/* What socket storage says, at one moment. */
struct held {
	struct cookies settled; /* of sockets that need nothing */
	struct numbers dirty;	/* inodes of namespaces that hold some that do; sorted */
	struct cookies others;	/* of sockets that would match as the other end: a sweep's word */
};

static void held_forget(struct held *held)
{
	cookies_free(&held->settled);
	numbers_free(&held->dirty);
}

static void held_free(struct held *held)
{
	held_forget(held);
	cookies_free(&held->others);
}

static int add_held(const void *record, void *arg)
{
	uint64_t word = *(const uint64_t *)record, netns = word & ~HF_UNSETTLED;
	struct held *held = arg;

	if (!(word & HF_UNSETTLED))
		return cookies_add(&held->settled, word);
	return numbers_add(&held->dirty, netns);
}

static int read_held(const struct reconcile *reconcile, const struct netns_list *namespaces,
		     struct held *held, struct error *e)
{
	int err;

	held_forget(held);
	err = plane_iterate_all(reconcile->plane, PIN_SETTLED, PIN_SETTLED_HERE, namespaces,
				sizeof(uint64_t), add_held, held, e);
	if (err) {
		held_free(held);
		return err;
	}
	numbers_sort(&held->dirty);
	return 0;
}

struct missing {
	const struct reconcile *reconcile;
	const struct held *held;
	const struct netns *ns;
	bool knows_listeners;
	struct numbers listeners; /* ports that are listened on; sorted */
	size_t n;
};

/* As the sweep has it, but for a connection whose listener is gone: it tells us of that. */
static enum hf_opener who_opened(struct missing *missing, uint16_t local_port)
{
	struct error ignored;

	if (!missing->knows_listeners)
		sockdiag_listeners(missing->ns, &missing->listeners, &ignored);
	missing->knows_listeners = true;
	return numbers_have(&missing->listeners, local_port) ? HF_OPENER_PEER : HF_OPENER_US;
}

static int count_missing(const struct diag_socket *socket, void *arg)
{
	struct missing *missing = arg;
	struct hf_flow flow = {0};
	const struct hf_rule *rule;
	enum hf_side side;

	if (cookies_have(&missing->held->settled, socket->cookie) ||
	    cookies_have(&missing->held->others, socket->cookie))
		return 0;
	flow.family = socket->family;
	flow.peer_port = socket->peer_port;
	flow.local_port = socket->local_port;
	memcpy(flow.peer, socket->peer, sizeof(flow.peer));
	hf_flow_unmap(&flow);
	rule = lpm_match(missing->reconcile->lpm, &flow, &side);
	if (rule) {
		flow.opener = (__u8)who_opened(missing, socket->local_port);
		rule = lpm_match(missing->reconcile->lpm, &flow, &side);
	}
	if (rule && rule->flags & HF_RULE_ENFORCE &&
	    scope_has(&missing->reconcile->scope, socket->cgroup_id))
		missing->n++;
	return 0;
}

/* How many sockets of the namespace ought to be held and aren't. Negative errno. */
static int find_missing(const struct reconcile *reconcile, const struct held *held,
			const struct netns *ns, size_t *n, struct error *e)
{
	struct missing missing;
	int err, tries = 0;

	do {
		_cleanup_close_ int fd = sockdiag_open_in(ns, e);

		if (fd < 0)
			return fd;
		missing = (struct missing){.reconcile = reconcile, .held = held, .ns = ns};
		err = sockdiag_dump(fd, 1u << TCP_ESTABLISHED, &reconcile->filter, false,
				    count_missing, &missing, e);
		numbers_free(&missing.listeners);
	} while (err == -EINTR && ++tries < DUMPS);
	*n = missing.n;
	return err;
}

struct sweeping {
	const struct log *log;
	struct held *held; /* what was held before, with what is now */
	struct reconcile_result *result;
	size_t *last; /* the count that the last record went into, and its socket */
	uint64_t last_cookie;
	size_t done, failed;
};

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

/* What failed was told before as what it was to be: it is no longer. */
static void take_back(struct sweeping *sweeping, uint64_t cookie)
{
	bool told = sweeping->last && sweeping->last_cookie == cookie;

	cookies_remove(&sweeping->held->settled, cookie);
	if (told && sweeping->last == &sweeping->result->restored)
		sweeping->result->kept++;
	else
		sweeping->failed++;
	if (told) {
		--*sweeping->last;
		sweeping->done--;
	}
}

static int on_swept(const void *record, void *arg)
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
		return cookies_add(&sweeping->held->others, sweep->cookie);
	if (!count && sweep->what != HF_SWEPT_FAILED)
		return 0;
	if (sweep->what == HF_SWEPT_HELD && cookies_add(&sweeping->held->settled, sweep->cookie))
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

static bool first_pass(const struct reconcile *reconcile)
{
	return !reconcile->seen.n;
}

/* What is done to a namespace in one round. */
enum what {
	LOOK,		 /* ask sock_diag whether anything is missing */
	SWEEP_IF_NEEDED, /* the same, and sweep it if so */
	SWEEP,		 /* without asking */
};

/*
 * A sweep by the kernel finds out itself whether there is anything to do, for less than it
 * takes to ask. A first pass knows that there is.
 */
static enum what round_of(const struct reconcile *reconcile, int round)
{
	if (round == ROUNDS)
		return LOOK;
	if (round == 0 && (first_pass(reconcile) || existing_by_kernel(reconcile->plane)))
		return SWEEP;
	return SWEEP_IF_NEEDED;
}

/*
 * One look at one namespace; sweeps it where that is needed. 1: look again, whether all
 * is done; else *unheld is how many can't be held.
 */
static int look(const struct reconcile *reconcile, struct existing *existing, struct held *held,
		const struct netns *ns, enum what what, struct reconcile_result *result,
		size_t *unheld, struct error *e)
{
	struct sweeping sweeping = {.log = reconcile->log, .held = held, .result = result};
	bool prove = what == SWEEP && first_pass(reconcile);
	size_t missing = 0;
	int err = 0;

	/* Where something is to do anyway, the next round asks what is missing. */
	if (what == SWEEP_IF_NEEDED && numbers_have(&held->dirty, ns->inode))
		what = SWEEP;
	if (what != SWEEP)
		err = find_missing(reconcile, held, ns, &missing, e);
	if (err) {
		/* Without sock_diag's word: sweep all the same, once, and say so. */
		if (what != LOOK)
			existing_sweep(existing, ns, on_swept, &sweeping, NULL);
		return err;
	}
	*unheld = missing;
	if (what == LOOK || (what == SWEEP_IF_NEEDED && !missing))
		return 0;
	err = existing_sweep(existing, ns, on_swept, &sweeping, e);
	if (err)
		return err;
	*unheld = sweeping.failed;
	return sweeping.done || missing > sweeping.failed || prove;
}

/* What a pass knows of a namespace. */
struct looked {
	bool todo;     /* to be looked at */
	size_t unheld; /* sockets that can't be held, as it was last looked at */
};

/*
 * Where nothing seems to have been held before, the sweep's word for what is held now is as
 * good as socket storage's: sock_diag then says whether anything is missing.
 */
static bool all_new(const struct reconcile *reconcile, const struct reconcile_result *result)
{
	return first_pass(reconcile) && result->held && !result->changed && !result->healed &&
	       !result->restored;
}

/*
 * Looks at the namespaces that are to do, up to ROUNDS times as long as there is
 * something to do. A namespace that fails (it may have gone) doesn't keep the
 * others from their turn.
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
		size_t i, unheld = 0;
		int ret;

		if (what != SWEEP && (round != 1 || !all_new(reconcile, result))) {
			ret = read_held(reconcile, namespaces, &held, first ? &ignored : e);
			if (ret)
				return ret;
		}
		again = false;
		for (i = 0; i < namespaces->n; i++) {
			if (!looked[i].todo)
				continue;
			if (plane_tick(reconcile->plane)) {
				existing_free(&existing);
				held_free(&held);
				return error_set(e, ECANCELED, "it makes way for a signal");
			}
			ret = look(reconcile, &existing, &held, &namespaces->list[i], what, result,
				   &unheld, first ? &ignored : e);
			if (ret < 0 && !first)
				first = ret;
			looked[i].todo = ret > 0;
			again = again || ret > 0;
			if (ret == 0)
				looked[i].unheld = unheld;
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
			    "it alive, and that of process %d can't be had: %s (is "
			    "kernel.yama.ptrace_scope 3?)",
			    namespaces->hidden, (int)namespaces->hidden_pid,
			    strerror(namespaces->hidden_errno));
	reconcile->hidden = namespaces->hidden;
}

/*
 * Leaves out the namespaces where there is nothing to do, if that can be told for less than it
 * takes to sweep them.
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
		if (!survey_has_todo(&survey, namespaces->list[i].inode))
			looked[i].todo = false;
	}
	survey_free(&survey);
}

static int pass(struct reconcile *reconcile, bool all, struct reconcile_result *result,
		struct error *e)
{
	struct netns_list namespaces;
	struct numbers seen = {0};
	_cleanup_free_ struct looked *looked = NULL;
	size_t i;
	int err;

	*result = (struct reconcile_result){0};
	err = netns_find(&reconcile->plane->pins, &namespaces, e);
	if (err)
		return err;
	tell_hidden(reconcile, &namespaces);
	scope_open(&reconcile->scope, reconcile->plane);
	looked = calloc(namespaces.n + 1, sizeof(*looked));
	err = looked ? 0 : error_set(e, ENOMEM, "out of memory");
	for (i = 0; !err && i < namespaces.n; i++) {
		looked[i].todo = all || !numbers_have(&reconcile->seen, namespaces.list[i].inode);
		result->namespaces += looked[i].todo;
	}
	if (!err && result->namespaces) {
		skip_settled(reconcile, &namespaces, looked);
		err = rounds(reconcile, &namespaces, looked, result, e);
		for (i = 0; i < namespaces.n; i++)
			result->unheld += looked[i].unheld;
		tell(reconcile, all, result);
	}
	/* Where some can't be held yet, the next event is worth another look. */
	for (i = 0; !err && i < namespaces.n; i++) {
		if (!looked[i].unheld && numbers_add(&seen, namespaces.list[i].inode))
			err = error_set(e, ENOMEM, "out of memory");
	}
	scope_close(&reconcile->scope);
	netns_list_free(&namespaces);
	if (err) {
		numbers_free(&seen);
		return err;
	}
	numbers_sort(&seen);
	numbers_free(&reconcile->seen);
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
