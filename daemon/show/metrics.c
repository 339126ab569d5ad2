// SPDX-License-Identifier: GPL-2.0-or-later
#include "show/metrics.h"

#include "base/util.h"
#include "kernel/rule_counters.h"

#include <inttypes.h>

static int count_rules(const struct data_plane *plane, struct metrics *metrics, struct error *e)
{
	const struct config *config = &metrics->snapshot.config;
	struct rule_counters counters;
	size_t i;
	int err;

	err = rule_counters_open(&counters, &plane->pins, e);
	for (i = 0; !err && i < config->n_rules; i++)
		rule_counters_of(&counters, config->rules[i].name, &metrics->rules[i].counters);
	rule_counters_close(&counters);
	return err;
}

int metrics_take(const struct data_plane *plane, struct metrics *metrics, struct error *e)
{
	struct snapshot *snapshot = &metrics->snapshot;
	size_t i;
	int err;

	*metrics = (struct metrics){0};
	err = snapshot_take_sockets(plane, snapshot, e);
	if (err)
		return err;
	metrics->daemon_up = snapshot->daemon_pid != 0;
	metrics->rules = calloc(snapshot->config.n_rules + 1, sizeof(*metrics->rules));
	if (!metrics->rules)
		err = error_set(e, ENOMEM, "out of memory");
	for (i = 0; !err && i < snapshot->n; i++) {
		const struct snapshot_socket *socket = &snapshot->sockets[i];

		metrics->rules[socket->rule - snapshot->config.rules].sockets[socket->verdict]++;
	}
	if (!err)
		err = count_rules(plane, metrics, e);
	if (!err)
		err = daemon_stats_read(plane, &metrics->stats, e);
	if (err)
		metrics_free(metrics);
	return err;
}

void metrics_free(struct metrics *metrics)
{
	free(metrics->rules);
	snapshot_free(&metrics->snapshot);
	*metrics = (struct metrics){0};
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP holdfast_%s %s\n# TYPE holdfast_%s %s\n", name, help, name, type);
}

static void single(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	fprintf(out, "holdfast_%s %" PRIu64 "\n", name, value);
}

/* Writes one sample. The label's value isn't escaped: it is a fixed word or a rule's name. */
static void sample(FILE *out, const char *name, const char *label, const char *value,
		   uint64_t number)
{
	fprintf(out, "holdfast_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, number);
}

static void of_rule(FILE *out, const char *name, const struct rule *rule, const char *label,
		    const char *value, uint64_t number)
{
	fprintf(out, "holdfast_%s{rule=\"%s\",%s=\"%s\"} %" PRIu64 "\n", name, rule->name, label,
		value, number);
}

static void attachment(const struct metrics *metrics, FILE *out)
{
	const struct snapshot *snapshot = &metrics->snapshot;
	const struct daemon_stats *stats = &metrics->stats;

	head(out, "build_info", "gauge",
	     "The version that attached, and the layout of what it has pinned.");
	fprintf(out, "holdfast_build_info{version=\"%s\",layout=\"%d\"} 1\n",
		snapshot->info.version, HF_LAYOUT);
	single(out, "attached", "gauge", "Whether new connections are held.", snapshot->attached);
	single(out, "attached_timestamp_seconds", "gauge", "When it was attached, Unix time.",
	       snapshot->info.since_s);
	single(out, "guard_attached", "gauge", "Whether the guard is attached.", snapshot->guard);
	single(out, "adopts_existing", "gauge",
	       "Whether connections that are open already are held too.", snapshot->adopts);
	single(out, "daemon_up", "gauge", "Whether the daemon runs.", metrics->daemon_up);
	single(out, "daemon_starts_total", "counter", "Starts of the daemon since it was attached.",
	       stats->starts);
	single(out, "daemon_start_timestamp_seconds", "gauge",
	       "When the daemon started last, Unix time.", stats->started_s);
}

static void milliseconds(FILE *out, const char *name, const char *rule, uint64_t ms)
{
	fprintf(out, "holdfast_%s{rule=\"%s\"} %" PRIu64 ".%03u\n", name, rule, ms / 1000,
		(unsigned)(ms % 1000));
}

static void rule_infos(const struct config *config, FILE *out)
{
	const struct rule *rule;
	size_t i;

	single(out, "rules", "gauge", "Rules in force.", config->n_rules);
	if (!config->n_rules)
		return;
	head(out, "rule_info", "gauge", "What a rule says, as far as it is words.");
	for (i = 0; i < config->n_rules; i++) {
		rule = &config->rules[i];
		fprintf(out,
			"holdfast_rule_info{rule=\"%s\",side=\"%s\",override=\"%s\","
			"enforce=\"%s\"} 1\n",
			rule->name, rule_side_name(rule->side), rule_override_name(rule->override),
			rule->enforce ? "yes" : "no");
	}
	head(out, "rule_window_seconds", "gauge",
	     "The idle time after which the path of a rule's connections forgets them.");
	for (i = 0; i < config->n_rules; i++) {
		rule = &config->rules[i];
		if (rule->window_ms) /* else nobody knows it */
			milliseconds(out, "rule_window_seconds", rule->name, rule->window_ms);
	}
	head(out, "rule_window_auto", "gauge", "Whether the rule finds its window out itself.");
	for (i = 0; i < config->n_rules; i++)
		sample(out, "rule_window_auto", "rule", config->rules[i].name,
		       !config->rules[i].window_ms);
	head(out, "rule_time_seconds", "gauge", "The keepalive time that a rule gives.");
	for (i = 0; i < config->n_rules; i++)
		sample(out, "rule_time_seconds", "rule", config->rules[i].name,
		       config->rules[i].time_s);
}

/* What rules have learned of their paths, where they have. */
static void paths(const struct snapshot *snapshot, FILE *out)
{
	const struct config *config = &snapshot->config;
	size_t i;

	if (!config->n_rules)
		return;
	head(out, "rule_path_survived_seconds", "gauge",
	     "The longest time without a packet that a rule's path was seen to survive.");
	for (i = 0; i < config->n_rules; i++) {
		if (snapshot->windows[i].survived_ms)
			milliseconds(out, "rule_path_survived_seconds", config->rules[i].name,
				     snapshot->windows[i].survived_ms);
	}
	head(out, "rule_path_forgotten_seconds", "gauge",
	     "The shortest time without a packet after which a rule's path had forgotten.");
	for (i = 0; i < config->n_rules; i++) {
		if (snapshot->windows[i].forgotten_ms)
			milliseconds(out, "rule_path_forgotten_seconds", config->rules[i].name,
				     snapshot->windows[i].forgotten_ms);
	}
	head(out, "rule_path_survived_total", "counter",
	     "Times without a packet that a rule's path was seen to survive.");
	for (i = 0; i < config->n_rules; i++)
		sample(out, "rule_path_survived_total", "rule", config->rules[i].name,
		       snapshot->windows[i].survived_count);
	head(out, "rule_path_forgotten_total", "counter",
	     "Times without a packet after which a rule's path had forgotten.");
	for (i = 0; i < config->n_rules; i++)
		sample(out, "rule_path_forgotten_total", "rule", config->rules[i].name,
		       snapshot->windows[i].forgotten_count);
}

static void hosts(const struct snapshot *snapshot, FILE *out)
{
	const struct config *config = &snapshot->config;
	size_t i;

	if (!config->n_rules)
		return;
	head(out, "rule_host_window_seconds", "gauge",
	     "The idle time after which this host itself forgets a rule's connections.");
	for (i = 0; i < config->n_rules; i++) {
		if (snapshot->hosts[i].window_ms)
			milliseconds(out, "rule_host_window_seconds", config->rules[i].name,
				     snapshot->hosts[i].window_ms);
	}
}

static void names(const struct config *config, FILE *out)
{
	struct host_name name = {0};
	uint64_t n = 0, unresolved = 0;
	size_t i, j;

	for (i = 0; i < config->n_rules; i++) {
		for (j = 0; j < config->rules[i].n_destinations; j++)
			n += config->rules[i].destinations[j].kind == DESTINATION_NAME;
	}
	while (config_next_unresolved(config, &name))
		unresolved++;
	single(out, "host_names", "gauge", "Host names among the destinations of all rules.", n);
	single(out, "host_names_unresolved", "gauge",
	       "Those of them without an address, so that no connection matches them.", unresolved);
}

static void rules(const struct metrics *metrics, FILE *out)
{
	const struct snapshot *snapshot = &metrics->snapshot;
	const struct daemon_stats *stats = &metrics->stats;
	static const char *const outcomes[STATS_N_RELOADS] = {
		[STATS_RELOAD_APPLIED] = "applied",
		[STATS_RELOAD_REJECTED] = "rejected",
		[STATS_RELOAD_FAILED] = "failed",
	};
	size_t i;

	rule_infos(&snapshot->config, out);
	paths(snapshot, out);
	hosts(snapshot, out);
	names(&snapshot->config, out);
	single(out, "rules_generation", "gauge",
	       "How often rules were put in force since it was attached.", snapshot->generation);
	head(out, "reloads_total", "counter",
	     "Reloads by outcome; rejected: the configuration has errors.");
	for (i = 0; i < STATS_N_RELOADS; i++)
		sample(out, "reloads_total", "outcome", outcomes[i], stats->reloads[i]);
	single(out, "last_reload_successful", "gauge",
	       "Whether the latest configuration, at a reload or start, was put in force.",
	       stats->last_reload == STATS_RELOAD_APPLIED);
	single(out, "last_reload_success_timestamp_seconds", "gauge",
	       "When the configuration in force was read, Unix time.", stats->applied_s);
}

static void sockets(const struct metrics *metrics, FILE *out)
{
	const struct config *config = &metrics->snapshot.config;
	int verdict;
	size_t i;

	head(out, "sockets", "gauge", "Sockets that a rule matches, by rule and verdict.");
	for (i = 0; i < config->n_rules; i++) {
		for (verdict = 0; verdict < N_VERDICTS; verdict++)
			of_rule(out, "sockets", &config->rules[i], "verdict",
				verdict_name((enum verdict)verdict),
				metrics->rules[i].sockets[verdict]);
	}
}

/* Writes what the BPF programs have counted. */
static void counted(const struct metrics *metrics, FILE *out)
{
	static const char *const ways[] = {
		[HF_WAY_CONNECT] = "connect",
		[HF_WAY_ACCEPT] = "accept",
		[HF_WAY_SWEEP] = "sweep",
	};
	static const char *const causes[HF_N_ENDS] = {
		[HF_END_APPLICATION] = "application",	[HF_END_SERVER] = "server",
		[HF_END_KEEPALIVE] = "keepalive",	[HF_END_USER_TIMEOUT] = "user_timeout",
		[HF_END_PROBE_RESET] = "probe_reset",	[HF_END_RESET] = "reset",
		[HF_END_RETRANSMIT] = "retransmission", [HF_END_ABORTED] = "aborted",
	};
	const struct config *config = &metrics->snapshot.config;
	size_t i, j;

	head(out, "holds_total", "counter", "Connections taken into hold, by rule and way.");
	for (i = 0; i < config->n_rules; i++) {
		for (j = 0; j < ARRAY_SIZE(ways); j++)
			of_rule(out, "holds_total", &config->rules[i], "way", ways[j],
				metrics->rules[i].counters.held[j]);
	}
	head(out, "guard_interventions_total", "counter",
	     "Options that applications set and that the guard kept from taking effect.");
	for (i = 0; i < config->n_rules; i++)
		sample(out, "guard_interventions_total", "rule", config->rules[i].name,
		       metrics->rules[i].counters.guarded);
	head(out, "ends_total", "counter", "Ends of held connections, by rule and cause.");
	for (i = 0; i < config->n_rules; i++) {
		for (j = 0; j < HF_N_ENDS; j++)
			of_rule(out, "ends_total", &config->rules[i], "cause", causes[j],
				metrics->rules[i].counters.ends[j]);
	}
	head(out, "ends_untold_total", "counter",
	     "Ends that came faster than the daemon read them: counted, without a line in the "
	     "log.");
	for (i = 0; i < config->n_rules; i++)
		sample(out, "ends_untold_total", "rule", config->rules[i].name,
		       metrics->rules[i].counters.untold);
}

static void duration(const struct daemon_stats *stats, FILE *out)
{
	uint64_t passes = 0;
	size_t i;

	head(out, "reconcile_duration_seconds", "histogram",
	     "How long passes took that compare all sockets with the rules.");
	for (i = 0; i < STATS_N_BOUNDS; i++) {
		passes += stats->passes[i];
		fprintf(out, "holdfast_reconcile_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
			daemon_stats_bounds_us[i] / 1e6, passes);
	}
	passes += stats->passes[i];
	fprintf(out,
		"holdfast_reconcile_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
		"holdfast_reconcile_duration_seconds_sum %" PRIu64 ".%06" PRIu64 "\n"
		"holdfast_reconcile_duration_seconds_count %" PRIu64 "\n",
		passes, stats->passes_us / 1000000, stats->passes_us % 1000000, passes);
}

static void reconcile(const struct metrics *metrics, FILE *out)
{
	static const char *const actions[STATS_N_SWEPT] = {
		[STATS_SWEPT_HELD] = "held",
		[STATS_SWEPT_CHANGED] = "changed",
		[STATS_SWEPT_HEALED] = "held_again",
		[STATS_SWEPT_RESTORED] = "given_back",
	};
	const struct daemon_stats *stats = &metrics->stats;
	size_t i;

	duration(stats, out);
	single(out, "reconcile_incomplete_total", "counter",
	       "Reconcile passes that had to leave something out.", stats->incomplete);
	head(out, "reconcile_sockets_total", "counter",
	     "Sockets that reconcile passes changed, by what they did to them.");
	for (i = 0; i < STATS_N_SWEPT; i++)
		sample(out, "reconcile_sockets_total", "action", actions[i], stats->swept[i]);
	single(out, "reconcile_period_seconds", "gauge",
	       "How often all sockets are to be looked at, as it is configured.",
	       metrics->snapshot.config.reconcile_s);
	single(out, "reconcile_period_in_force_seconds", "gauge",
	       "How often they are: longer where it would take too much of a CPU.",
	       stats->period_s ? stats->period_s : metrics->snapshot.config.reconcile_s);
	single(out, "last_reconcile_timestamp_seconds", "gauge",
	       "When all sockets had been looked at last, Unix time.", stats->reconciled_s);
	single(out, "network_namespaces", "gauge", "Network namespaces that were looked at then.",
	       stats->namespaces);
}

void metrics_write(const struct metrics *metrics, FILE *out)
{
	attachment(metrics, out);
	rules(metrics, out);
	if (metrics->snapshot.config.n_rules) {
		sockets(metrics, out);
		counted(metrics, out);
	}
	reconcile(metrics, out);
}

void metrics_write_nothing(FILE *out)
{
	single(out, "attached", "gauge", "Whether new connections are held.", 0);
}
