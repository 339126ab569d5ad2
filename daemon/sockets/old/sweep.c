// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/old/old.h"

#include "base/clock.h"
#include "base/util.h"
#include "host/socket_options.h"
#include "sockets/old/options.h"
#include "sockets/old/pass.h"
#include "sockets/old/record.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define HF_OPTION(socket, level, option, value)                                                    \
	old_option_set(*(const int *)(socket), (level), (option), (value))
#define HF_READ(socket, keepalive) socket_options_read(*(const int *)(socket), (keepalive))
#include "bpf/plan.h"

/*
 * Makes a hushed record for each socket that should be held and has none yet, because the look
 * iterator reads only sockets with a record. A hushed record has the guard let every option pass.
 * Returns how many it has made, or negative errno.
 */
static int make_records(struct old_pass *pass, struct error *e)
{
	const struct diag_socket *diag = pass->diags.list;
	struct hf_rule rule;
	enum hf_side side;
	int made = 0;
	size_t i;

	for (i = 0; i < pass->diags.n; i++) {
		struct hf_record record = {
			.cookie = diag[i].cookie, .way = HF_WAY_SWEEP, .hushed = 1, .ended = 1};
		_cleanup_close_ int fd = -1;

		if (diag[i].state != TCP_ESTABLISHED || old_pass_look(pass, diag[i].cookie) ||
		    !old_pass_match(pass, diag[i].family, diag[i].peer, diag[i].local_port,
				    diag[i].peer_port,
				    old_pass_opener(pass, diag[i].family, diag[i].local,
						    diag[i].local_port, HF_OPENER_UNKNOWN),
				    &rule, &side) ||
		    !(rule.flags & HF_RULE_ENFORCE) ||
		    !scope_has(&pass->round->scope, diag[i].cgroup_id))
			continue;
		fd = old_pass_get(pass, diag[i].cookie, diag[i].inode);
		if (fd < 0)
			continue;
		if (bpf_map_update_elem(pass->sockets_fd, &fd, &record, BPF_NOEXIST) == 0)
			made++;
		else if (errno != EEXIST)
			return error_set(e, errno, "remembering a socket: %s", strerror(errno));
	}
	return made;
}

/* Reports what was done to a socket. Returns what the pass's fn returns. */
static int report(const struct old_pass *pass, const struct hf_look *look, enum hf_swept what,
		  int error)
{
	struct hf_sweep sweep = {
		.cookie = look->view.cookie,
		.netns = look->view.netns,
		.local_port = look->view.local_port,
		.peer_port = look->view.peer_port,
		.error = error,
		.what = (__u8)what,
	};

	return pass->fn ? pass->fn(&sweep, pass->arg) : 0;
}

/*
 * Counts a newly held socket under the complement of the rule's key, where only user space counts:
 * see struct hf_counters.
 */
static void count_held(const struct old_pass *pass, uint64_t rule_key)
{
	_cleanup_close_ int map = pins_get(&pass->round->plane->pins, PIN_COUNTERS, NULL);
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct hf_counters *each =
		cpus > 0 ? calloc((size_t)cpus, sizeof(*each)) : NULL;
	uint64_t key = ~rule_key;

	if (map < 0 || !each)
		return;
	bpf_map_lookup_elem(map, &key, each); /* zeros where there is none yet */
	each[0].held[HF_WAY_SWEEP]++;
	bpf_map_update_elem(map, &key, each, BPF_ANY);
}

/*
 * Writes to the record, before the options are set, what they are and are going to be. Without that
 * a daemon killed in between would take its own options for the application's at its next start.
 * `rule` may be NULL. Returns 0 or negative errno.
 */
static int announce(const struct old_pass *pass, int fd, const struct hf_record *record,
		    const struct hf_rule *rule, const struct hf_plan *plan)
{
	struct hf_record announced = *record;

	if (rule)
		hf_plan_record(plan, &announced, rule);
	old_record_hush(&announced);
	announced.state = HF_STATE_CHANGING;
	announced.before = plan->now;
	announced.set = plan->want;
	return old_record_write(pass->sockets_fd, fd, &announced);
}

static void settle_one(uint32_t *set, uint32_t before, uint32_t now)
{
	if (now == before)
		*set = now;
}

/*
 * Completes a record whose change was announced and maybe carried out in part: each option that
 * still has the value from before the change counts as set by holdfast.
 */
static void settle(struct hf_record *record, const struct hf_keepalive *now)
{
	const struct hf_keepalive *before = &record->before;
	struct hf_keepalive *set = &record->set;

	settle_one(&set->on, before->on, now->on);
	settle_one(&set->time_s, before->time_s, now->time_s);
	settle_one(&set->interval_s, before->interval_s, now->interval_s);
	settle_one(&set->probes, before->probes, now->probes);
	settle_one(&set->user_timeout_ms, before->user_timeout_ms, now->user_timeout_ms);
	record->state = HF_STATE_HELD;
}

/* Holds a socket, as hold() of sweep.bpf.c does. Returns what fn returns. */
static int hold(const struct old_pass *pass, const struct hf_look *look, const struct hf_rule *rule,
		enum hf_side side, struct hf_record *record, int fd)
{
	struct hf_plan plan = {.now = look->own, .sysctls = look->sysctls};
	enum hf_swept what = HF_SWEPT_CHANGED;
	bool first = !record->held_ns, again = record->generation == 0;
	int err;

	if (first)
		what = HF_SWEPT_HELD;
	else if (record->generation == rule->generation)
		what = hf_only_probed(record, &plan.now) ? HF_SWEPT_PROBED : HF_SWEPT_HEALED;
	hf_plan_hold(&plan, record, rule, first);
	hf_plan_postpone(&plan, look->idle_ms);
	if (what == HF_SWEPT_HEALED && record->postponed && !plan.undone)
		what = HF_SWEPT_COMPLETED;
	if (first) {
		record->held_ns = clock_ns(CLOCK_MONOTONIC);
		record->ended = 0;
	}
	if (first || hf_plan_changes(&plan)) {
		err = announce(pass, fd, record, rule, &plan);
		if (!err)
			err = hf_plan_carry_out(&fd, &fd, &plan, false);
		if (err) {
			if (first)
				bpf_map_delete_elem(pass->sockets_fd, &fd);
			else /* it stays held as it was, and the next pass tries again */
				old_record_write(pass->sockets_fd, fd, record);
			return report(pass, look, HF_SWEPT_FAILED, err);
		}
	}
	record->set = plan.want;
	hf_plan_record(&plan, record, rule);
	hf_record_end(record, side, look->view.local_port, look->view.peer_port);
	if (old_record_write(pass->sockets_fd, fd, record))
		return 0; /* the socket was closed meanwhile */
	if (first)
		count_held(pass, rule->key);
	/* Finishing what the guard had left half done isn't reported. */
	if (first || (hf_plan_changes(&plan) && !again))
		return report(pass, look, what, 0);
	return 0;
}

/* Restores a socket, as restore() of sweep.bpf.c does. Returns what fn returns. */
static int restore(const struct old_pass *pass, const struct hf_look *look,
		   struct hf_record *record, int fd)
{
	struct hf_plan plan = {.now = look->own, .sysctls = look->sysctls};
	int err, ret;

	if (!record->held_ns) { /* never held: the record stays, and says who opened it */
		old_record_write(pass->sockets_fd, fd, record);
		return report(pass, look, HF_SWEPT_OTHER_SIDE, 0);
	}
	hf_plan_restore(&plan, record);
	err = announce(pass, fd, record, NULL, &plan);
	if (!err)
		err = hf_plan_carry_out(&fd, &fd, &plan, false);
	bpf_map_delete_elem(pass->sockets_fd, &fd);
	ret = report(pass, look, HF_SWEPT_RESTORED, 0);
	return err && !ret ? report(pass, look, HF_SWEPT_FAILED, err) : ret;
}

/*
 * Brings a socket into this process, and reads its record. Returns a descriptor, the caller's to
 * close, or negative errno, for which it has called old_pass_skip().
 */
static int take(struct old_pass *pass, const struct hf_look *look, struct hf_record *record)
{
	_cleanup_close_ int fd = old_pass_get(pass, look->view.cookie, look->inode);

	if (fd < 0)
		return fd;
	if (bpf_map_lookup_elem(pass->sockets_fd, &fd, record) < 0)
		return old_pass_skip(pass, -errno, "reading what is known of a socket");
	if (record->state == HF_STATE_CHANGING)
		settle(record, &look->own);
	return take_fd(&fd);
}

static int visit(struct old_pass *pass, const struct hf_look *look)
{
	const struct diag_socket *diag = old_pass_diag(pass, look->view.cookie);
	enum hf_opener opener = look->view.opener;
	_cleanup_close_ int fd = -1;
	struct hf_record record;
	struct hf_rule rule;
	enum hf_side side;
	bool matches;

	if (look->view.flags & HF_VIEW_SETTLED)
		return 0;
	if (!(look->view.flags & HF_VIEW_OPENER))
		opener = old_pass_opener(pass, look->view.family, look->view.local,
					 look->view.local_port, opener);
	matches = old_pass_match(pass, look->view.family, look->view.peer, look->view.local_port,
				 look->view.peer_port, opener, &rule, &side) &&
		  rule.flags & HF_RULE_ENFORCE &&
		  (!diag || scope_has(&pass->round->scope, diag->cgroup_id));
	if (matches && look->view.state != TCP_ESTABLISHED)
		return 0;
	fd = take(pass, look, &record);
	if (fd < 0)
		return 0;
	record.opener = (__u8)opener;
	return matches ? hold(pass, look, &rule, side, &record, fd)
		       : restore(pass, look, &record, fd);
}

int old_sweep(struct old_round *round, const struct netns *ns, iter_fn fn, void *arg,
	      struct error *e)
{
	struct old_pass pass;
	int err = old_pass_begin(&pass, round, ns, fn, arg, e);
	size_t i;

	if (!err)
		err = old_pass_read_looks(&pass, e);
	if (!err)
		err = old_pass_read_diags(&pass, e);
	if (!err)
		err = make_records(&pass, e);
	if (err > 0)
		err = old_pass_read_looks(&pass, e);
	for (i = 0; !err && i < pass.looks.n; i++) {
		if (pass.looks.list[i].view.netns == ns->inode)
			err = visit(&pass, &pass.looks.list[i]);
	}
	/* A socket that failed is reported only now, after all others were visited. */
	if (!err && pass.failed)
		err = error_set(e, -pass.failed, "%s: %s%s", pass.failed_at, strerror(-pass.failed),
				pass.failed == -EPERM ? "; is kernel.yama.ptrace_scope 3?" : "");
	old_pass_end(&pass);
	return err;
}

int old_restore_closed(struct old_round *round, iter_fn fn, void *arg, size_t *left,
		       struct error *e)
{
	struct old_pass pass = OLD_PASS_INIT(round, NULL, fn, arg);
	struct hf_record record;
	bool missed = false;
	int err;
	size_t i;

	*left = 0;
	err = old_pass_read_closed(&pass, e);
	if (!err && pass.looks.n) {
		err = old_round_find_owners(round, e);
		if (!err)
			err = old_pass_open_sockets(&pass, e);
	}
	for (i = 0; !err && i < pass.looks.n; i++) {
		_cleanup_close_ int fd = take(&pass, &pass.looks.list[i], &record);

		data_plane_tick(round->plane); /* doesn't stop the work */
		if (fd >= 0)
			err = restore(&pass, &pass.looks.list[i], &record, fd);
		missed = missed || fd < 0;
	}
	if (!err && missed) { /* the application may have closed it or connected it meanwhile */
		err = old_pass_read_closed(&pass, e);
		*left = pass.looks.n;
	}
	old_pass_end(&pass);
	return err;
}
