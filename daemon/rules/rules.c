// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/rules.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

void rule_free(struct rule *rule)
{
	size_t i;

	for (i = 0; i < rule->n_destinations; i++) {
		free(rule->destinations[i].name);
		free(rule->destinations[i].resolved);
	}
	free(rule->destinations);
	free(rule->ports);
	memset(rule, 0, sizeof(*rule));
}

void config_free(struct config *config)
{
	size_t i;

	for (i = 0; i < config->n_rules; i++)
		rule_free(&config->rules[i]);
	free(config->rules);
	free(config->textfile);
	memset(config, 0, sizeof(*config));
}

uint16_t rule_default_time(uint64_t window_ms)
{
	uint64_t time_s = window_ms / 4000;

	if (!window_ms)
		return RULE_AUTO_TIME_S;
	if (time_s > 600)
		return 600;
	return time_s ? (uint16_t)time_s : 1;
}

uint16_t rule_default_interval(uint16_t time_s)
{
	uint16_t interval_s = time_s / 10;

	if (interval_s > 75)
		return 75;
	return interval_s ? interval_s : 1;
}

int config_builtin(struct config *config, struct error *e)
{
	struct rule *rule;

	config->guard = true;
	config->reconcile_s = RECONCILE_DEFAULT_S;
	config->textfile = NULL;
	config->n_rules = 0;
	config->rules = calloc(1, sizeof(*config->rules));
	if (!config->rules)
		return error_set(e, ENOMEM, "out of memory");
	config->n_rules = 1;
	rule = &config->rules[0];
	rule->destinations = calloc(1, sizeof(*rule->destinations));
	rule->ports = calloc(1, sizeof(*rule->ports));
	if (!rule->destinations || !rule->ports) {
		config_free(config);
		return error_set(e, ENOMEM, "out of memory");
	}
	strcpy(rule->name, "default");
	rule->destinations[0].kind = DESTINATION_ANY;
	rule->n_destinations = 1;
	rule->ports[0] = (struct port_range){RULE_DEFAULT_PORT, RULE_DEFAULT_PORT};
	rule->n_ports = 1;
	rule->side = RULE_SIDE_CLIENT;
	rule->window_ms = 0;
	rule->time_s = rule_default_time(rule->window_ms);
	rule->interval_s = rule_default_interval(rule->time_s);
	rule->probes = RULE_DEFAULT_PROBES;
	rule->override = HF_OVERRIDE_WHEN_LONGER;
	rule->enforce = true;
	return 0;
}

const struct rule *config_find_rule(const struct config *config, const char *name)
{
	size_t i;

	for (i = 0; i < config->n_rules; i++) {
		if (!strcmp(config->rules[i].name, name))
			return &config->rules[i];
	}
	return NULL;
}

bool prefix_contains(const struct prefix *prefix, uint8_t family, const uint8_t addr[16])
{
	size_t bytes = prefix->len / 8;
	unsigned bits = prefix->len % 8;

	if (prefix->family != family || memcmp(prefix->addr, addr, bytes) != 0)
		return false;
	return !bits || ((prefix->addr[bytes] ^ addr[bytes]) & (0xff00 >> bits) & 0xff) == 0;
}

void prefix_unmap(struct prefix *prefix)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (prefix->family != 6 || prefix->len < 96 || memcmp(prefix->addr, mapped, 12) != 0)
		return;
	prefix->family = 4;
	prefix->len = (uint8_t)(prefix->len - 96);
	memmove(prefix->addr, prefix->addr + 12, 4);
	memset(prefix->addr + 4, 0, 12);
}

void prefix_format(const struct prefix *prefix, char *text, size_t size)
{
	char addr[INET6_ADDRSTRLEN];

	inet_ntop(prefix->family == 4 ? AF_INET : AF_INET6, prefix->addr, addr, sizeof(addr));
	if (prefix->len == (prefix->family == 4 ? 32 : 128))
		snprintf(text, size, "%s", addr);
	else
		snprintf(text, size, "%s/%u", addr, prefix->len);
}

const char *destination_text(const struct destination *destination, char text[PREFIX_TEXT_MAX])
{
	switch (destination->kind) {
	case DESTINATION_ANY:
		return "any";
	case DESTINATION_NAME:
		return destination->name;
	case DESTINATION_PREFIX:
		break;
	}
	prefix_format(&destination->prefix, text, PREFIX_TEXT_MAX);
	return text;
}

bool config_next_unresolved(const struct config *config, struct host_name *name)
{
	size_t i = name->rule ? (size_t)(name->rule - config->rules) : 0;
	size_t j = name->rule ? (size_t)(name->destination - name->rule->destinations) + 1 : 0;

	for (; i < config->n_rules; i++, j = 0) {
		for (name->rule = &config->rules[i]; j < name->rule->n_destinations; j++) {
			name->destination = &name->rule->destinations[j];
			if (name->destination->kind == DESTINATION_NAME &&
			    !name->destination->n_resolved)
				return true;
		}
	}
	return false;
}

const char *rule_side_name(enum rule_side side)
{
	switch (side) {
	case RULE_SIDE_CLIENT:
		return "client";
	case RULE_SIDE_SERVER:
		return "server";
	case RULE_SIDE_BOTH:
		return "both";
	}
	return "?";
}

const char *rule_override_name(enum hf_override override)
{
	switch (override) {
	case HF_OVERRIDE_WHEN_LONGER:
		return "when-longer";
	case HF_OVERRIDE_ALWAYS:
		return "always";
	case HF_OVERRIDE_NEVER:
		return "never";
	}
	return "?";
}

uint64_t rule_key(const char *name)
{
	uint64_t key = 0xcbf29ce484222325u;

	for (; *name; name++)
		key = (key ^ (unsigned char)*name) * 0x100000001b3u;
	return key;
}
