// SPDX-License-Identifier: GPL-2.0-or-later
/* Writes the configuration as text. */
#include "conf/text.h"

#include "base/duration.h"
#include "base/util.h"
#include "rules/rules.h"

#include <errno.h>

static void write_duration(FILE *out, const char *key, uint64_t ms)
{
	char text[DURATION_TEXT_MAX];

	duration_format(ms, text, sizeof(text));
	fprintf(out, "%s = %s\n", key, text);
}

static void write_destinations(FILE *out, const struct rule *rule, bool resolved)
{
	const struct destination *destination;
	char text[PREFIX_TEXT_MAX];
	size_t i, j;

	fputs("destination = ", out);
	for (i = 0; i < rule->n_destinations; i++)
		fprintf(out, "%s%s", i ? ", " : "", destination_text(&rule->destinations[i], text));
	fputc('\n', out);

	for (i = 0; resolved && i < rule->n_destinations; i++) {
		destination = &rule->destinations[i];
		if (destination->kind != DESTINATION_NAME || !destination->n_resolved)
			continue;
		fprintf(out, "%s = %s", CONF_TEXT_RESOLVED, destination->name);
		for (j = 0; j < destination->n_resolved; j++) {
			prefix_format(&destination->resolved[j], text, sizeof(text));
			fprintf(out, ", %s", text);
		}
		fputc('\n', out);
	}
}

static void write_rule(FILE *out, const struct rule *rule, bool resolved)
{
	size_t i;

	fprintf(out, "\n[rule %s]\n", rule->name);
	write_destinations(out, rule, resolved);
	fputs("port = ", out);
	for (i = 0; i < rule->n_ports; i++) {
		fprintf(out, "%s%u", i ? ", " : "", rule->ports[i].first);
		if (rule->ports[i].last != rule->ports[i].first)
			fprintf(out, "-%u", rule->ports[i].last);
	}
	fprintf(out, "\nside = %s\n", rule_side_name(rule->side));
	if (rule->window_ms)
		write_duration(out, "window", rule->window_ms);
	else
		fputs("window = auto\n", out);
	write_duration(out, "time", rule->time_s * (uint64_t)1000);
	write_duration(out, "interval", rule->interval_s * (uint64_t)1000);
	fprintf(out, "probes = %u\n", rule->probes);
	if (rule->user_timeout_ms)
		write_duration(out, "user-timeout", rule->user_timeout_ms);
	else
		fputs("user-timeout = off\n", out);
	fprintf(out, "override = %s\n", rule_override_name(rule->override));
	fprintf(out, "enforce = %s\n", rule->enforce ? "yes" : "no");
}

char *conf_write_text(const struct config *config)
{
	char *text = NULL;
	size_t size, i;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fprintf(out, "%s\n[daemon]\nguard = %s\n", CONF_TEXT_MARK, config->guard ? "yes" : "no");
	write_duration(out, "reconcile", config->reconcile_s * (uint64_t)1000);
	fprintf(out, "metrics-textfile = %s\n", config->textfile ? config->textfile : "off");
	for (i = 0; i < config->n_rules; i++)
		write_rule(out, &config->rules[i], true);
	return memstream_close(out, &text);
}

int conf_rule_hash(const struct rule *rule, uint64_t *hash)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	write_rule(out, rule, false);
	if (!memstream_close(out, &text))
		return -ENOMEM;
	*hash = rule_key(text);
	return 0;
}
