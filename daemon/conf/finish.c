// SPDX-License-Identifier: GPL-2.0-or-later
/* Makes rules of sections: fills in the defaults, and checks what can be checked only then. */
#include "base/duration.h"
#include "base/text.h"
#include "base/util.h"
#include "conf/parse.h"

#include <inttypes.h>
#include <string.h>

/* A rule that is being finished, and the section that it comes from. */
struct finishing {
	struct conf_parser *parser;
	const struct conf_section *section;
	struct rule *rule;
};

/* Returns the section that gives a key: the rule's or [defaults]; NULL: the built-in default. */
static const struct conf_section *source(const struct finishing *f, enum conf_key key)
{
	if (f->section->given[key])
		return f->section;
	return f->parser->defaults.given[key] ? &f->parser->defaults : NULL;
}

static bool sound(const struct finishing *f, enum conf_key key)
{
	const struct conf_section *from = source(f, key);

	return !from || !from->bad[key];
}

/* Returns the line of the first of n keys that the rule gives; if it gives none, that of the first
 * that [defaults] gives; if that gives none, the line of the rule's header. */
static struct conf_place place_of(const struct finishing *f, const enum conf_key *keys, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (f->section->given[keys[i]])
			return f->section->at[keys[i]];
	}
	for (i = 0; i < n; i++) {
		if (f->parser->defaults.given[keys[i]])
			return f->parser->defaults.at[keys[i]];
	}
	return f->section->place;
}

static bool copy_ports(struct rule *rule, const struct conf_section *from)
{
	size_t n = from ? from->values.n_ports : 1;

	rule->ports = calloc(n + 1, sizeof(*rule->ports));
	if (!rule->ports)
		return false;
	if (from && n)
		memcpy(rule->ports, from->values.ports, n * sizeof(*rule->ports));
	else
		rule->ports[0] = (struct port_range){RULE_DEFAULT_PORT, RULE_DEFAULT_PORT};
	rule->n_ports = n;
	return true;
}

/* Fills in all values of the rule. Invalid values don't matter: they were reported, and the
 * configuration won't be used. Returns false if memory runs out. */
static bool fill_in(const struct finishing *f)
{
	const struct conf_section *from;
	struct rule *rule = f->rule;

	if (!copy_ports(rule, source(f, CONF_PORT)))
		return false;
	from = source(f, CONF_SIDE);
	rule->side = from ? from->values.side : RULE_SIDE_CLIENT;
	from = source(f, CONF_WINDOW);
	rule->window_ms = from ? from->values.window_ms : 0;
	from = source(f, CONF_TIME);
	rule->time_s = from ? from->values.time_s : rule_default_time(rule->window_ms);
	from = source(f, CONF_INTERVAL);
	rule->interval_s = from ? from->values.interval_s : rule_default_interval(rule->time_s);
	from = source(f, CONF_PROBES);
	rule->probes = from ? from->values.probes : RULE_DEFAULT_PROBES;
	from = source(f, CONF_USER_TIMEOUT);
	rule->user_timeout_ms = from ? from->values.user_timeout_ms : 0;
	from = source(f, CONF_OVERRIDE);
	rule->override = from ? from->values.override : HF_OVERRIDE_WHEN_LONGER;
	from = source(f, CONF_ENFORCE);
	rule->enforce = from ? from->values.enforce : true;
	return true;
}

/* Reports that `time` is not below `window`, at the line that is more likely wrong. */
static void time_not_below(const struct finishing *f)
{
	static const enum conf_key by_time[] = {CONF_TIME}, by_window[] = {CONF_WINDOW};
	bool at_time = f->section->given[CONF_TIME] ||
		       (!f->section->given[CONF_WINDOW] && f->parser->defaults.given[CONF_TIME]);
	char window[DURATION_TEXT_MAX], time[DURATION_TEXT_MAX];

	duration_format(f->rule->window_ms, window, sizeof(window));
	duration_format(f->rule->time_s * (uint64_t)1000, time, sizeof(time));
	if (!at_time)
		conf_error(f->parser, place_of(f, by_window, 1),
			   "window must be above time, which is %s here (write more than %s)", time,
			   time);
	else if (f->rule->window_ms > 1000)
		conf_error(f->parser, place_of(f, by_time, 1),
			   "time must be below window (write less than %s)", window);
	else
		conf_error(f->parser, place_of(f, by_time, 1),
			   "time must be below window, which is %s (write a window above 1s)",
			   window);
}

static void check_timing(const struct finishing *f)
{
	static const enum conf_key by_probes[] = {CONF_PROBES, CONF_INTERVAL, CONF_TIME,
						  CONF_WINDOW};
	static const enum conf_key by_user_timeout[] = {CONF_USER_TIMEOUT};
	static const enum conf_key by_interval[] = {CONF_INTERVAL, CONF_TIME, CONF_WINDOW};
	const struct rule *rule = f->rule;
	uint64_t last_s, dead_ms;
	char last[DURATION_TEXT_MAX], window[DURATION_TEXT_MAX];
	bool window_sound = sound(f, CONF_WINDOW),
	     window_known = window_sound && f->rule->window_ms;
	bool time_sound = sound(f, CONF_TIME) && (source(f, CONF_TIME) || window_sound);
	bool interval_sound = sound(f, CONF_INTERVAL) && (source(f, CONF_INTERVAL) || time_sound);

	if (!time_sound)
		return;
	if (window_known && rule->time_s * (uint64_t)1000 >= rule->window_ms) {
		/* With enforce = no, values that weren't written for this rule don't matter. */
		if (rule->enforce || !sound(f, CONF_ENFORCE) ||
		    (f->section->given[CONF_TIME] && !f->parser->marked))
			time_not_below(f);
		return;
	}
	if (!rule->enforce || !interval_sound)
		return;

	last_s = rule->time_s + (uint64_t)rule->interval_s * (rule->probes - 1u);
	if (window_known && sound(f, CONF_PROBES) && last_s * 1000 >= rule->window_ms) {
		duration_format(last_s * 1000, last, sizeof(last));
		duration_format(rule->window_ms, window, sizeof(window));
		conf_warning(f->parser, place_of(f, by_probes, ARRAY_SIZE(by_probes)),
			     "time + interval x (probes - 1) is %s, not below window: lost probes "
			     "could let the flow be forgotten (write values that make less than "
			     "%s)",
			     last, window);
	}
	/* tcp_keepalive_timer() comes back after `interval` even if the probe was answered. With
	 * several probes the warning above covers this. */
	if (window_known && sound(f, CONF_PROBES) && rule->probes == 1 &&
	    rule->interval_s * (uint64_t)1000 >= rule->window_ms) {
		duration_format(rule->window_ms, window, sizeof(window));
		conf_warning(
			f->parser, place_of(f, by_interval, ARRAY_SIZE(by_interval)),
			"interval is not below window: the kernel waits that long after each "
			"probe, and the flow could be forgotten meanwhile (write less than %s)",
			window);
	}
	dead_ms = (uint64_t)1000 * (rule->time_s + rule->interval_s);
	if (sound(f, CONF_USER_TIMEOUT) && rule->user_timeout_ms &&
	    rule->user_timeout_ms < dead_ms) {
		duration_format(dead_ms, last, sizeof(last));
		conf_warning(f->parser, place_of(f, by_user_timeout, 1),
			     "user-timeout is below time + interval: one lost probe would kill the "
			     "connection (write at least %s)",
			     last);
	}
}

/* Such a rule is more often a slip than a wish. */
static void check_reach(const struct finishing *f)
{
	static const enum conf_key by_port[] = {CONF_PORT};
	static const char *const whose[] = {[RULE_SIDE_CLIENT] = "that this host opens",
					    [RULE_SIDE_SERVER] = "that this host accepts",
					    [RULE_SIDE_BOTH] = "of this host"};
	const struct rule *rule = f->rule;
	size_t i;

	if (!rule->enforce || rule->n_ports != 1 || rule->ports[0].first > 1 ||
	    rule->ports[0].last < UINT16_MAX)
		return;
	for (i = 0; i < rule->n_destinations; i++) {
		if (rule->destinations[i].kind != DESTINATION_ANY)
			continue;
		conf_warning(f->parser, place_of(f, by_port, ARRAY_SIZE(by_port)),
			     "every TCP connection %s is held, the kernel's own too (write the "
			     "ports or the destinations that the rule is for)",
			     whose[rule->side]);
		return;
	}
}

static void finish_rule(struct conf_parser *parser, struct conf_section *section, struct rule *rule)
{
	struct finishing f = {parser, section, rule};
	char quote[TEXT_QUOTE_MAX];

	memcpy(rule->name, section->values.name, sizeof(rule->name));
	rule->destinations = take_ptr(section->values.destinations);
	rule->n_destinations = section->values.n_destinations;
	section->values.n_destinations = 0;
	if (!section->given[CONF_DESTINATION])
		conf_error(parser, section->place,
			   "rule \"%s\" has no destination (write destination = any, an address, a "
			   "prefix or a host name)",
			   text_quote(quote, section->title, strlen(section->title)));
	if (!fill_in(&f)) {
		parser->out_of_memory = true;
		return;
	}
	check_timing(&f);
	check_reach(&f);
}

static int compare_titles(const void *left, const void *right)
{
	const struct conf_section *a = *(struct conf_section *const *)left;
	const struct conf_section *b = *(struct conf_section *const *)right;
	int order = strcmp(a->title, b->title);

	return order ? order : (a > b) - (a < b);
}

/* Reports rules with the same name, in one file or in several. */
static void check_names(struct conf_parser *parser)
{
	/* An array of pointers. NOLINTNEXTLINE(bugprone-sizeof-expression) */
	_cleanup_free_ struct conf_section **order = calloc(parser->n_rules + 1, sizeof(*order));
	const struct conf_section *first;
	char quote[TEXT_QUOTE_MAX];
	size_t i;

	if (!order) {
		parser->out_of_memory = true;
		return;
	}
	for (i = 0; i < parser->n_rules; i++)
		order[i] = &parser->rules[i];
	if (parser->n_rules)
		qsort(order, parser->n_rules, sizeof(struct conf_section *), compare_titles);
	for (i = 1, first = order[0]; i < parser->n_rules; i++) {
		if (strcmp(order[i]->title, first->title) != 0) {
			first = order[i];
			continue;
		}
		if (!first->title[0])
			continue; /* has no name, which was reported already */
		conf_error(parser, order[i]->place,
			   "rule \"%s\" is there twice (write another name, %s:%u has this one)",
			   text_quote(quote, first->title, strlen(first->title)),
			   parser->files[first->place.file], first->place.line);
	}
}

void conf_finish(struct conf_parser *parser, struct config *config)
{
	struct conf_section *daemon = &parser->daemon;
	struct conf_section nobody = {.kind = CONF_SECTION_RULE};
	struct rule unused = {0};
	struct finishing f = {parser, &nobody, &unused};
	size_t i;

	config->guard = daemon->given[CONF_GUARD] ? daemon->guard : true;
	config->reconcile_s =
		daemon->given[CONF_RECONCILE] ? daemon->reconcile_s : RECONCILE_DEFAULT_S;
	config->textfile = take_ptr(daemon->textfile);
	config->rules = calloc(parser->n_rules + 1, sizeof(*config->rules));
	if (!config->rules) {
		parser->out_of_memory = true;
		return;
	}
	config->n_rules = parser->n_rules;
	for (i = 0; i < parser->n_rules; i++)
		finish_rule(parser, &parser->rules[i], &config->rules[i]);
	check_names(parser);

	if (parser->n_rules || parser->n_errors)
		return;
	/* Without a rule, check that the defaults do not contradict each other. */
	if (fill_in(&f))
		check_timing(&f);
	else
		parser->out_of_memory = true;
	rule_free(&unused);
	if (!parser->n_errors)
		conf_warning(parser, (struct conf_place){0},
			     "there are no rules, so nothing will be held (write [rule NAME] with "
			     "a destination)");
}
