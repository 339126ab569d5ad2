// SPDX-License-Identifier: GPL-2.0-or-later
#include "adopt.h"

#include "adoption.h"
#include "grab.h"
#include "util.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static int set_option(const int *socket, int level, int option, uint32_t value)
{
	const int v = (int)value;

	return setsockopt(*socket, level, option, &v, sizeof(v)) < 0 ? -errno : 0;
}

/* What is in force on it; the namespace's values where nothing is set. */
static void read_options(const int *socket, struct hf_keepalive *now)
{
	const struct {
		int level, option;
		uint32_t *value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, &now->on},
		{SOL_TCP, TCP_KEEPIDLE, &now->time_s},
		{SOL_TCP, TCP_KEEPINTVL, &now->interval_s},
		{SOL_TCP, TCP_KEEPCNT, &now->probes},
		{SOL_TCP, TCP_USER_TIMEOUT, &now->user_timeout_ms},
	};
	socklen_t size;
	size_t i;

	*now = (struct hf_keepalive){0};
	for (i = 0; i < ARRAY_SIZE(options); i++) {
		size = sizeof(uint32_t);
		getsockopt(*socket, options[i].level, options[i].option, options[i].value, &size);
	}
}

#define HF_OPTION(ctx, level, option, value) set_option((ctx), (level), (option), (value))
#define HF_READ(socket, keepalive)	     read_options((socket), (keepalive))
#include "../bpf/match.h"
#include "../bpf/plan.h"

static bool match(const struct adoption *adoption, __u8 family, const __u8 peer[16],
		  __u16 local_port, __u16 peer_port, enum hf_opener opener, struct hf_rule *rule,
		  enum hf_side *side)
{
	struct hf_flow flow = {.family = family,
			       .opener = (__u8)opener,
			       .local_port = local_port,
			       .peer_port = peer_port};

	memcpy(flow.peer, peer, sizeof(flow.peer));
	hf_flow_unmap(&flow);
	return plane_match(adoption->adopter->plane, &flow, rule, side);
}

/* The peer, if somebody listens on the local port; else what the caller takes it for. */
static enum hf_opener who_opened(struct adoption *adoption, uint16_t local_port,
				 enum hf_opener otherwise)
{
	return adoption_listens(adoption, local_port) ? HF_OPENER_PEER : otherwise;
}

/*
 * Gives every socket that is to be held and has no record yet one that says so:
 * only of sockets with a record does the look iterator tell what is set on them.
 * The guard lets everything pass meanwhile. How many, or negative errno.
 */
static int make_records(struct adoption *adoption, struct error *e)
{
	const struct diag_socket *diag = adoption->diags.list;
	struct hf_rule rule;
	enum hf_side side;
	int made = 0;
	size_t i;

	for (i = 0; i < adoption->diags.n; i++) {
		struct hf_record record = {
			.cookie = diag[i].cookie, .way = HF_WAY_SWEEP, .hushed = 1, .ended = 1};
		_cleanup_close_ int fd = -1;

		if (diag[i].state != TCP_ESTABLISHED || adoption_look(adoption, diag[i].cookie) ||
		    !match(adoption, diag[i].family, diag[i].peer, diag[i].local_port,
			   diag[i].peer_port,
			   who_opened(adoption, diag[i].local_port, HF_OPENER_UNKNOWN), &rule,
			   &side) ||
		    !(rule.flags & HF_RULE_ENFORCE) ||
		    !scope_has(&adoption->adopter->scope, diag[i].cgroup_id))
			continue;
		fd = adoption_grab(adoption, diag[i].cookie, diag[i].inode);
		if (fd < 0)
			continue;
		if (bpf_map_update_elem(adoption->sockets_fd, &fd, &record, BPF_NOEXIST) == 0)
			made++;
		else if (errno != EEXIST)
			return error_set(e, errno, "remembering a socket: %s", strerror(errno));
	}
	return made;
}

/* Says what was done to a socket. */
static int report(const struct adoption *adoption, const struct hf_look *look, enum hf_swept what,
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

	return adoption->fn ? adoption->fn(&sweep, adoption->arg) : 0;
}

/* Under the key's complement: see struct hf_counters. Nobody else counts there. */
static void count_held(const struct adoption *adoption, uint64_t rule_key)
{
	_cleanup_close_ int map = pins_get(&adoption->adopter->plane->pins, PIN_COUNTERS, NULL);
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
 * Writes the record of a socket that has one. It mustn't fail half way for want of
 * memory: that comes back, the kernel only doesn't wait for it. Negative errno.
 */
static int write_record(const struct adoption *adoption, int fd, const struct hf_record *record)
{
	const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
	int tries;

	for (tries = 0; tries < 100; tries++) {
		if (!bpf_map_update_elem(adoption->sockets_fd, &fd, record, BPF_EXIST))
			return 0;
		if (errno != ENOMEM)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -ENOMEM;
}

/*
 * The guard meets what we set like what the application sets. Until the record is
 * written anew it lets everything pass; killed before that, the next pass decides.
 */
static void hush_guard(struct hf_record *record)
{
	record->hushed = 1;
	record->generation = 0;
}

/*
 * Before the options are set: what is going to be ours. Killed among them, we would take it
 * for the application's the next time. `rule` may be NULL.
 */
static int announce(const struct adoption *adoption, int fd, const struct hf_record *record,
		    const struct hf_rule *rule, const struct hf_plan *plan)
{
	struct hf_record announced = *record;

	if (rule)
		hf_plan_record(plan, &announced, rule);
	hush_guard(&announced);
	announced.state = HF_STATE_CHANGING;
	announced.before = plan->now;
	announced.set = plan->want;
	return write_record(adoption, fd, &announced);
}

static void settle_one(uint32_t *set, uint32_t before, uint32_t now)
{
	if (now == before)
		*set = now;
}

/* What was announced was done in part: whatever was left as it had been is ours, too. */
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

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* As hold() of sweep.bpf.c. */
static int hold(const struct adoption *adoption, const struct hf_look *look,
		const struct hf_rule *rule, enum hf_side side, struct hf_record *record, int fd)
{
	struct hf_plan plan = {.now = look->own, .sysctls = look->sysctls};
	enum hf_swept what = HF_SWEPT_CHANGED;
	bool first = !record->held_ns, again = record->generation == 0;
	int err;

	if (first)
		what = HF_SWEPT_HELD;
	else if (record->generation == rule->generation)
		what = HF_SWEPT_HEALED;
	hf_plan_hold(&plan, record, rule, first);
	if (first) {
		record->held_ns = now_ns();
		record->ended = 0;
	}
	if (first || hf_plan_changes(&plan)) {
		err = announce(adoption, fd, record, rule, &plan);
		if (!err)
			err = hf_plan_carry_out(&fd, &fd, &plan, false);
		if (err) {
			bpf_map_delete_elem(adoption->sockets_fd, &fd);
			return report(adoption, look, HF_SWEPT_FAILED, err);
		}
	}
	record->set = plan.want;
	hf_plan_record(&plan, record, rule);
	record->side = (__u8)side;
	if (write_record(adoption, fd, record))
		return 0; /* closed meanwhile, for good */
	if (first)
		count_held(adoption, rule->key);
	/* What the guard left half done isn't worth a word. */
	if (first || (hf_plan_changes(&plan) && !again))
		return report(adoption, look, what, 0);
	return 0;
}

/* As restore() of sweep.bpf.c. */
static int restore(const struct adoption *adoption, const struct hf_look *look,
		   struct hf_record *record, int fd)
{
	struct hf_plan plan = {.now = look->own, .sysctls = look->sysctls};
	int err, ret;

	if (!record->held_ns) { /* made to find out who opened it: that it keeps */
		write_record(adoption, fd, record);
		return report(adoption, look, HF_SWEPT_OTHER_SIDE, 0);
	}
	hf_plan_restore(&plan, record);
	err = announce(adoption, fd, record, NULL, &plan);
	if (!err)
		err = hf_plan_carry_out(&fd, &fd, &plan, false);
	bpf_map_delete_elem(adoption->sockets_fd, &fd);
	ret = report(adoption, look, HF_SWEPT_RESTORED, 0);
	return err && !ret ? report(adoption, look, HF_SWEPT_FAILED, err) : ret;
}

static int visit(struct adoption *adoption, const struct hf_look *look)
{
	const struct diag_socket *diag = adoption_diag(adoption, look->view.cookie);
	enum hf_opener opener = look->view.opener;
	_cleanup_close_ int fd = -1;
	struct hf_record record;
	struct hf_rule rule;
	enum hf_side side;
	bool matches;

	if (look->view.flags & HF_VIEW_SETTLED)
		return 0;
	if (!(look->view.flags & HF_VIEW_OPENER))
		opener = who_opened(adoption, look->view.local_port, opener);
	matches = match(adoption, look->view.family, look->view.peer, look->view.local_port,
			look->view.peer_port, opener, &rule, &side) &&
		  rule.flags & HF_RULE_ENFORCE &&
		  (!diag || scope_has(&adoption->adopter->scope, diag->cgroup_id));
	if (matches && look->view.state != TCP_ESTABLISHED)
		return 0;
	fd = adoption_grab(adoption, look->view.cookie, look->inode);
	if (fd < 0)
		return 0;
	if (bpf_map_lookup_elem(adoption->sockets_fd, &fd, &record) < 0) {
		adoption_skip(adoption, -errno, "reading what is known of a socket");
		return 0;
	}
	if (record.state == HF_STATE_CHANGING)
		settle(&record, &look->own);
	record.opener = (__u8)opener;
	return matches ? hold(adoption, look, &rule, side, &record, fd)
		       : restore(adoption, look, &record, fd);
}

int adopt_sweep(struct adopter *adopter, const struct netns *ns, iter_fn fn, void *arg,
		struct error *e)
{
	struct adoption adoption;
	int err = adoption_begin(&adoption, adopter, ns, fn, arg, e);
	size_t i;

	if (!err)
		err = adoption_read_looks(&adoption, e);
	if (!err)
		err = adoption_read_diags(&adoption, e);
	if (!err)
		err = make_records(&adoption, e);
	if (err > 0)
		err = adoption_read_looks(&adoption, e);
	for (i = 0; !err && i < adoption.looks.n; i++) {
		if (adoption.looks.list[i].view.netns == ns->inode)
			err = visit(&adoption, &adoption.looks.list[i]);
	}
	/* What one process refuses is no reason to leave the others alone. */
	if (!err && adoption.failed)
		err = error_set(e, -adoption.failed, "%s: %s%s", adoption.failed_at,
				strerror(-adoption.failed),
				adoption.failed == -EPERM ? "; is kernel.yama.ptrace_scope 3?"
							  : "");
	adoption_end(&adoption);
	return err;
}

/* As hf_probe. */
static void probe(struct adoption *adoption, const struct hf_look *look)
{
	_cleanup_close_ int fd = adoption_grab(adoption, look->view.cookie, look->inode);
	struct hf_record record, hushed;

	if (fd < 0 || bpf_map_lookup_elem(adoption->sockets_fd, &fd, &record) < 0)
		return;
	/* First, so that the time is never taken for the application's. */
	record.probing = 1;
	hushed = record;
	hush_guard(&hushed);
	if (write_record(adoption, fd, &hushed) == 0)
		set_option(&fd, SOL_TCP, TCP_KEEPIDLE, HF_PROBE_TIME_S);
	write_record(adoption, fd, &record);
}

int adopt_probe(struct adopter *adopter, const struct netns *ns, struct error *e)
{
	struct adoption adoption;
	int err = adoption_begin(&adoption, adopter, ns, NULL, NULL, e);
	_cleanup_close_ int targets = err ? -1 : pins_get(&adopter->plane->pins, PIN_TARGETS, e);
	uint8_t yes;
	size_t i;

	if (!err)
		err = targets < 0 ? targets : adoption_read_looks(&adoption, e);
	for (i = 0; !err && i < adoption.looks.n; i++) {
		const struct hf_look *look = &adoption.looks.list[i];

		if (look->view.netns == ns->inode && look->view.state == TCP_ESTABLISHED &&
		    look->own.on && !look->unanswered &&
		    bpf_map_lookup_elem(targets, &look->view.cookie, &yes) == 0)
			probe(&adoption, look);
	}
	adoption_end(&adoption);
	return err;
}

/* As hf_matched, of one socket. */
static int view(struct adoption *adoption, const struct diag_socket *diag)
{
	struct hf_view view = {.cookie = diag->cookie, .netns = adoption->ns->inode};
	_cleanup_close_ int fd = -1;
	struct hf_rule rule;
	enum hf_side side;

	if (!match(adoption, diag->family, diag->peer, diag->local_port, diag->peer_port,
		   who_opened(adoption, diag->local_port, HF_OPENER_US), &rule, &side) ||
	    !scope_has(&adoption->adopter->scope, diag->cgroup_id))
		return 0;
	fd = adoption_grab(adoption, diag->cookie, diag->inode);
	if (fd == -ENOENT)
		return 0; /* nobody's any more */
	if (fd >= 0)
		read_options(&fd, &view.now); /* else it can't be held, either: exposed */
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
	return adoption->fn(&view, adoption->arg);
}

int adopt_matched(struct adopter *adopter, const struct netns *ns, iter_fn fn, void *arg,
		  struct error *e)
{
	struct adoption adoption;
	int err = adoption_begin(&adoption, adopter, ns, fn, arg, e);
	size_t i;

	if (!err)
		err = adoption_read_diags(&adoption, e);
	for (i = 0; !err && i < adoption.diags.n; i++)
		err = view(&adoption, &adoption.diags.list[i]);
	adoption_end(&adoption);
	return err;
}
