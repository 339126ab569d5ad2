// SPDX-License-Identifier: GPL-2.0-or-later
/* Makes reconcile passes, and chooses by their cost when the next full pass comes. */
#include "daemon.h"

#include "base/clock.h"
#include "kernel/hook.h"

#include <errno.h>
#include <inttypes.h>

/* How long after it made way for a signal a pass is made again. */
#define AGAIN_US (1000u * 1000u)

/* Has the tracepoint report the ends of connections, in addition to the sockops program. */
static void hear_of_ends(struct daemon *daemon)
{
	struct error e = {0};
	int ret = hook_attach_ended(&daemon->plane.pins, &e);

	if (ret < 0)
		log_warning(&daemon->log, "the ends of some connections won't be told: %s", e.text);
	daemon->tracepoint = daemon->tracepoint || ret > 0;
	if (ret > 0)
		log_notice(
			&daemon->log,
			"another sockops program (bpftool prog list) switches off what tells of "
			"the ends of connections: from now on a tracepoint does, which costs each "
			"connection of the host some 2 us");
}

/* Looks for what the rules may learn of their paths. */
static void look_at_windows(struct daemon *daemon)
{
	struct hf_info info;
	struct error e = {0};
	int ret = data_plane_get_info(&daemon->plane, &info, &e);

	if (!ret)
		ret = windows_look(daemon->windows, &daemon->config, info.generation, &e);
	if (ret < 0)
		log_warning(&daemon->log, "what paths forget can't be observed: %s", e.text);
	daemon->learned = daemon->learned || ret > 0;
}

void daemon_reconcile(struct daemon *daemon, bool all)
{
	uint64_t start = monotonic_us(), start_cpu = cpu_time_us(), us;
	struct reconcile_result result;
	struct error e = {0};
	int err;

	err = all ? reconcile_all(daemon->reconcile, &result, &e)
		  : reconcile_unseen(daemon->reconcile, &result, &e);
	if (err == -ECANCELED)
		log_debug(&daemon->log, "reconcile makes way for a signal");
	else if (err)
		log_warning(&daemon->log, "reconcile is incomplete: %s", e.text);
	daemon->canceled = err == -ECANCELED;
	if (all && !daemon->canceled)
		look_at_windows(daemon);
	if (all) {
		daemon->pass_cost_us = cpu_time_us() - start_cpu;
		daemon->pass_wait_us =
			cpu_share_spend(&daemon->pass_share, monotonic_us(), daemon->pass_cost_us);
	}
	us = monotonic_us() - start;
	log_debug(&daemon->log, "reconcile: %zu network namespaces in %" PRIu64 " us",
		  result.namespaces, us);
	if (all && result.looked)
		stats_note_passed(&daemon->stats, monotonic_us() / 1000u);
	daemon_stats_count_pass(&daemon->stats, us, all, !err, &result);
	if (result.marked)
		hear_of_ends(daemon);
	exporter_due(daemon->exporter);
	if (all)
		daemon_check_attached(daemon);
}

/* Makes the period longer than configured if full passes would take too much of a CPU. */
void daemon_arm_timer(struct daemon *daemon)
{
	uint64_t configured_us = (uint64_t)daemon->config.reconcile_s * 1000000u;
	uint64_t period_us =
		daemon->pass_wait_us > configured_us ? daemon->pass_wait_us : configured_us;
	bool stretched = period_us > configured_us;

	if (stretched != daemon->stretched)
		log_notice(
			&daemon->log,
			stretched ? "a pass over all sockets took %.1f s of CPU time: the next one "
				    "is in %.0f s, later than reconcile says, for the CPU's sake"
				  : "a pass over all sockets took %.1f s of CPU time: they come "
				    "every %.0f s again",
			(double)daemon->pass_cost_us / 1e6, (double)period_us / 1e6);
	daemon->stretched = stretched;
	daemon_stats_set_period(&daemon->stats, (period_us + 999999u) / 1000000u);
	/* A pass that made way for a signal is begun anew once the signal has been answered. */
	sd_event_source_set_time_relative(daemon->timer, daemon->canceled ? AGAIN_US : period_us);
	sd_event_source_set_enabled(daemon->timer, SD_EVENT_ONESHOT);
}
