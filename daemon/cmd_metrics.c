// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast metrics: counters and gauges in Prometheus text format. */
#include "command.h"
#include "counters.h"
#include "snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const ways[] = {
	[HF_WAY_CONNECT] = "connect",
	[HF_WAY_ACCEPT] = "accept",
	[HF_WAY_SWEEP] = "sweep",
};

static const char *const causes[HF_N_ENDS] = {
	[HF_END_APPLICATION] = "application",	[HF_END_SERVER] = "server",
	[HF_END_KEEPALIVE] = "keepalive",	[HF_END_USER_TIMEOUT] = "user_timeout",
	[HF_END_PROBE_RESET] = "probe_reset",	[HF_END_RESET] = "reset",
	[HF_END_RETRANSMIT] = "retransmission",
};

static void head(const char *name, const char *type, const char *help)
{
	printf("# HELP holdfast_%s %s\n# TYPE holdfast_%s %s\n", name, help, name, type);
}

static void gauge(const char *name, const char *help, uint64_t value)
{
	head(name, "gauge", help);
	printf("holdfast_%s %" PRIu64 "\n", name, value);
}

/* Rule names are letters, digits, '.', '_' and '-': nothing to escape. */
static void sockets(const struct snapshot *snapshot)
{
	size_t i, j;
	int verdict;

	head("sockets", "gauge", "Sockets that a rule matches, by rule and verdict.");
	for (i = 0; i < snapshot->config.n_rules; i++) {
		const struct rule *rule = &snapshot->config.rules[i];
		uint64_t n[N_VERDICTS] = {0};

		for (j = 0; j < snapshot->n; j++) {
			if (snapshot->sockets[j].rule == rule)
				n[snapshot->sockets[j].verdict]++;
		}
		for (verdict = 0; verdict < N_VERDICTS; verdict++)
			printf("holdfast_sockets{rule=\"%s\",verdict=\"%s\"} %" PRIu64 "\n",
			       rule->name, verdict_name((enum verdict)verdict), n[verdict]);
	}
}

static void counted(const struct snapshot *snapshot, const struct counters *counters)
{
	struct hf_counters sum;
	size_t i, j;

	head("held_total", "counter", "Connections taken into hold, by rule and way.");
	for (i = 0; i < snapshot->config.n_rules; i++) {
		counters_of(counters, snapshot->config.rules[i].name, &sum);
		for (j = 0; j < 3; j++)
			printf("holdfast_held_total{rule=\"%s\",way=\"%s\"} %" PRIu64 "\n",
			       snapshot->config.rules[i].name, ways[j], (uint64_t)sum.held[j]);
	}
	head("guard_interventions_total", "counter",
	     "Options that applications set and that the guard kept from taking effect.");
	for (i = 0; i < snapshot->config.n_rules; i++) {
		counters_of(counters, snapshot->config.rules[i].name, &sum);
		printf("holdfast_guard_interventions_total{rule=\"%s\"} %" PRIu64 "\n",
		       snapshot->config.rules[i].name, (uint64_t)sum.guarded);
	}
	head("ends_total", "counter", "Ends of held connections, by rule and cause.");
	for (i = 0; i < snapshot->config.n_rules; i++) {
		counters_of(counters, snapshot->config.rules[i].name, &sum);
		for (j = 0; j < HF_N_ENDS; j++)
			printf("holdfast_ends_total{rule=\"%s\",cause=\"%s\"} %" PRIu64 "\n",
			       snapshot->config.rules[i].name, causes[j], (uint64_t)sum.ends[j]);
	}
}

static int show(const struct plane *plane)
{
	struct counters counters = {.fd = -1};
	struct snapshot snapshot;
	struct error e = {0};
	int status = STATUS_OK;

	if (snapshot_take(plane, &snapshot, &e))
		return command_failed(&e);
	if (counters_open(&counters, plane, &e)) {
		status = command_failed(&e);
	} else {
		head("build_info", "gauge",
		     "The version that attached, and the kernel side's layout.");
		printf("holdfast_build_info{version=\"%s\",layout=\"%d\"} 1\n",
		       snapshot.info.version, HF_LAYOUT);
		gauge("attached", "Whether new connections are held.", snapshot.attached);
		gauge("daemon_up", "Whether the daemon runs.", snapshot.daemon_pid != 0);
		gauge("guard_attached", "Whether the guard is attached.", snapshot.guard);
		gauge("rules", "Rules in force.", snapshot.config.n_rules);
		gauge("rules_generation", "How often rules were put in force.",
		      snapshot.generation);
		gauge("since_timestamp_seconds", "When it was attached, Unix time.",
		      snapshot.info.since_s);
		sockets(&snapshot);
		counted(&snapshot, &counters);
		if (!snapshot.attached)
			status = STATUS_NOT_ATTACHED;
	}
	counters_close(&counters);
	snapshot_free(&snapshot);
	return status;
}

int metrics_main(const struct command *command, int argc, char **argv)
{
	static const char usage[] =
		"Usage: holdfast metrics\n"
		"Counters and gauges in Prometheus text format, on standard output.\n";
	struct plane plane = PLANE_INIT;
	int status;

	status = command_no_arguments(argc, argv, usage);
	if (status >= 0)
		return status;
	status = command_open(command, &plane);
	if (status == STATUS_NOT_ATTACHED)
		gauge("attached", "Whether new connections are held.", 0);
	if (status)
		return status;
	status = show(&plane);
	plane_close(&plane);
	return status;
}
