// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/preview_plan.h"

#include "bpf/plan.h"

#include <netinet/tcp.h>

/* Takes a number that equals the sysctl for unset, unless a holdfast has set just that. */
static uint32_t unset(uint32_t now, uint32_t sysctl, uint32_t set)
{
	return now == sysctl && set != now ? 0 : now;
}

/* Fills in a plan's start from what getsockopt() says; `set` is what a holdfast left, or zeros. */
static void begin_plan(struct hf_plan *plan, const struct hf_keepalive *now,
		       const struct hf_keepalive *sysctls, const struct hf_keepalive *set)
{
	*plan = (struct hf_plan){.now = *now, .sysctls = *sysctls};
	plan->now.time_s = unset(now->time_s, sysctls->time_s, set->time_s);
	plan->now.interval_s = unset(now->interval_s, sysctls->interval_s, set->interval_s);
	plan->now.probes = unset(now->probes, sysctls->probes, set->probes);
}

/* Puts the sysctls where a number is unset. */
static struct hf_keepalive in_force(struct hf_keepalive keepalive,
				    const struct hf_keepalive *sysctls)
{
	if (!keepalive.time_s)
		keepalive.time_s = sysctls->time_s;
	if (!keepalive.interval_s)
		keepalive.interval_s = sysctls->interval_s;
	if (!keepalive.probes)
		keepalive.probes = sysctls->probes;
	return keepalive;
}

/* The verdict of today: keepalive that is on in time is the application's, unless it is held. */
static enum verdict judge(const struct rule *rule, const struct diag_socket *diag,
			  const struct hf_keepalive *now, const struct hf_record *record)
{
	enum verdict verdict;

	if (record->left_alone)
		return VERDICT_EXEMPT;
	verdict = verdict_of(rule, diag->state, now, 0);
	if (verdict != VERDICT_HELD && verdict != VERDICT_OWN)
		return verdict;
	return record->held_ns && record->state == HF_STATE_HELD ? VERDICT_HELD : VERDICT_OWN;
}

/* Decides as a pass over existing sockets does (sweep.bpf.c). */
static void decide(struct preview_plan *made, const struct diag_socket *diag, struct hf_plan *plan)
{
	bool first = !made->record.held_ns;

	made->alone = made->record.left_alone;
	if (made->alone)
		return;
	if (!(made->rule.flags & HF_RULE_ENFORCE)) {
		made->alone = first;
		if (!first)
			hf_plan_restore(plan, &made->record);
	} else if (diag->state == TCP_ESTABLISHED) {
		hf_plan_hold(plan, &made->record, &made->rule, first);
	} else {
		made->alone = true;
	}
	made->would = in_force(plan->want, &plan->sysctls);
}

void preview_plan_make(struct preview_plan *made, struct snapshot_socket *socket)
{
	struct hf_record *record = &made->record;
	struct hf_plan plan;

	made->rule.time_s = socket->rule->time_s;
	made->rule.interval_s = socket->rule->interval_s;
	begin_plan(&plan, &socket->now, &made->sysctls, &record->set);
	if (hf_only_probed(record, &plan.now))
		socket->now.time_s = record->set.time_s; /* which it has again in a moment */
	socket->verdict = judge(socket->rule, &socket->diag, &socket->now, record);
	decide(made, &socket->diag, &plan);
}
