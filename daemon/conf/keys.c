// SPDX-License-Identifier: GPL-2.0-or-later
/* Parses the values of keys, and stores them in their section. */
#include "base/util.h"
#include "conf/parse.h"
#include "conf/value.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define WINDOW_MAX_MS	 (3650 * UINT64_C(86400000)) /* ten years */
#define RECONCILE_MAX_MS UINT64_C(86400000)

/* Reports what the parser of a value has returned. */
static void judge(struct conf_parser *parser, struct conf_section *section, enum conf_key key,
		  int err, const struct error *e)
{
	if (!err)
		return;
	section->bad[key] = true;
	if (err == -ENOMEM)
		parser->out_of_memory = true;
	else
		conf_error(parser, parser->place, "%s: %s", conf_key_name(key), e->text);
}

static size_t count_elements(const char *value)
{
	size_t n = 1;

	for (; *value; value++)
		n += *value == ',';
	return n;
}

static void take_ports(struct conf_parser *parser, struct conf_section *section, const char *value)
{
	_cleanup_free_ char *copy = strdup(value);
	struct port_range *ports = calloc(count_elements(value), sizeof(*ports));
	char *list = copy, *element;
	struct error e;
	size_t n = 0;
	int err;

	if (!copy || !ports) {
		free(ports);
		parser->out_of_memory = true;
		return;
	}
	while ((element = value_next_element(&list))) {
		err = value_port_range(element, &ports[n], &e);
		judge(parser, section, CONF_PORT, err, &e);
		if (!err)
			n++;
	}
	free(section->values.ports);
	section->values.ports = ports;
	section->values.n_ports = value_merge_ports(ports, n);
}

static void take_destinations(struct conf_parser *parser, struct conf_section *section,
			      const char *value)
{
	struct rule *rule = &section->values;
	_cleanup_free_ char *copy = strdup(value);
	struct rule old = {.destinations = rule->destinations,
			   .n_destinations = rule->n_destinations};
	char *list = copy, *element;
	struct error e;
	int err;

	rule->n_destinations = 0;
	rule->destinations = calloc(count_elements(value), sizeof(*rule->destinations));
	rule_free(&old);
	if (!copy || !rule->destinations) {
		parser->out_of_memory = true;
		return;
	}
	while ((element = value_next_element(&list))) {
		err = value_destination(element, &rule->destinations[rule->n_destinations], &e);
		judge(parser, section, CONF_DESTINATION, err, &e);
		if (!err)
			rule->n_destinations++;
	}
}

/* Returns the destination of a rule that is this host name and has no addresses yet, or NULL. */
static struct destination *find_unresolved(const struct rule *rule, const char *name)
{
	size_t i;

	for (i = 0; i < rule->n_destinations; i++) {
		struct destination *destination = &rule->destinations[i];

		if (destination->kind == DESTINATION_NAME && !destination->resolved &&
		    !strcmp(destination->name, name))
			return destination;
	}
	return NULL;
}

/* Parses "NAME, ADDRESS, ...", which conf_write_text() writes for a host name. */
static void take_resolved(struct conf_parser *parser, struct conf_section *section,
			  const char *value)
{
	_cleanup_free_ char *copy = strdup(value);
	_cleanup_free_ struct prefix *prefixes = NULL;
	struct destination *destination;
	char *list = copy, *element;
	struct error e;
	size_t n = 0;
	int err;

	prefixes = calloc(count_elements(value), sizeof(*prefixes));
	if (!copy || !prefixes) {
		parser->out_of_memory = true;
		return;
	}
	element = value_next_element(&list);
	destination = element ? find_unresolved(&section->values, element) : NULL;
	if (!destination) {
		conf_error(parser, parser->place,
			   "resolved names no destination (write destination above it)");
		return;
	}
	while ((element = value_next_element(&list))) {
		err = value_prefix(element, &prefixes[n], &e);
		judge(parser, section, CONF_RESOLVED, err, &e);
		if (!err)
			n++;
	}
	destination->n_resolved = n;
	destination->resolved = take_ptr(prefixes);
}

static int take_word(struct rule *rule, enum conf_key key, const char *value, struct error *e)
{
	static const char *const sides[] = {[RULE_SIDE_CLIENT] = "client",
					    [RULE_SIDE_SERVER] = "server",
					    [RULE_SIDE_BOTH] = "both"};
	static const char *const overrides[] = {[HF_OVERRIDE_WHEN_LONGER] = "when-longer",
						[HF_OVERRIDE_ALWAYS] = "always",
						[HF_OVERRIDE_NEVER] = "never"};
	unsigned index = 0;
	int err;

	if (key == CONF_SIDE) {
		err = value_word(value, sides, ARRAY_SIZE(sides), &index, e);
		rule->side = (enum rule_side)index;
	} else {
		err = value_word(value, overrides, ARRAY_SIZE(overrides), &index, e);
		rule->override = (enum hf_override)index;
	}
	return err;
}

/* Parses the value of a key that has a single value. */
static int take_single(struct conf_section *section, enum conf_key key, const char *value,
		       struct error *e)
{
	struct rule *rule = &section->values;
	unsigned number = 0;
	uint64_t ms = 0;
	int err = 0;

	switch (key) {
	case CONF_GUARD:
		return value_yes_no(value, &section->guard, e);
	case CONF_ENFORCE:
		return value_yes_no(value, &rule->enforce, e);
	case CONF_SIDE:
	case CONF_OVERRIDE:
		return take_word(rule, key, value, e);
	case CONF_RECONCILE:
		err = value_duration(value, 1000, RECONCILE_MAX_MS, true, &ms, e);
		section->reconcile_s = (uint32_t)(ms / 1000);
		return err;
	case CONF_TEXTFILE:
		return value_textfile(value, &section->textfile, e);
	case CONF_WINDOW:
		rule->window_ms = 0;
		if (strcmp(value, "auto") == 0)
			return 0;
		return value_duration(value, 1, WINDOW_MAX_MS, false, &rule->window_ms, e);
	case CONF_TIME:
		err = value_duration(value, 1000, RULE_TIME_MAX_S * 1000, true, &ms, e);
		rule->time_s = (uint16_t)(ms / 1000);
		return err;
	case CONF_INTERVAL:
		err = value_duration(value, 1000, RULE_TIME_MAX_S * 1000, true, &ms, e);
		rule->interval_s = (uint16_t)(ms / 1000);
		return err;
	case CONF_PROBES:
		err = value_number(value, 1, RULE_PROBES_MAX, &number, e);
		rule->probes = (uint8_t)number;
		return err;
	case CONF_USER_TIMEOUT:
		if (strcmp(value, "off") != 0)
			err = value_duration(value, 1, INT_MAX, false, &ms, e);
		rule->user_timeout_ms = (uint32_t)ms;
		return err;
	case CONF_DESTINATION:
	case CONF_RESOLVED:
	case CONF_PORT:
	case CONF_N_KEYS:
		break;
	}
	return 0;
}

void conf_take_value(struct conf_parser *parser, struct conf_section *section, enum conf_key key,
		     const char *value)
{
	struct error e;

	if (!*value) {
		conf_error(parser, parser->place, "%s has no value (write %s = ...)",
			   conf_key_name(key), conf_key_name(key));
		section->bad[key] = true;
		return;
	}
	switch (key) {
	case CONF_PORT:
		take_ports(parser, section, value);
		break;
	case CONF_DESTINATION:
		take_destinations(parser, section, value);
		break;
	case CONF_RESOLVED:
		take_resolved(parser, section, value);
		break;
	default:
		judge(parser, section, key, take_single(section, key, value, &e), &e);
	}
}
