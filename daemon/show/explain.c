// SPDX-License-Identifier: GPL-2.0-or-later
/* Shows an explanation: as text for people, as JSON for programs. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif

#include "base/duration.h"
#include "base/json.h"
#include "base/util.h"
#include "rules/explain.h"
#include "rules/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

static void address_text(const struct explanation *x, char text[INET6_ADDRSTRLEN])
{
	inet_ntop(x->flow.family == 4 ? AF_INET : AF_INET6, x->flow.peer, text, INET6_ADDRSTRLEN);
}

/* Formats a destination: "10.20.0.0/16", "any", "db.internal (10.20.0.8)". The caller frees it. */
static char *where(const struct explain_rule *entry)
{
	char text[PREFIX_TEXT_MAX], *line;
	int n;

	if (entry->destination->kind == DESTINATION_NAME) {
		prefix_format(&entry->prefix, text, sizeof(text));
		n = asprintf(&line, "%s (%s)", entry->destination->name, text);
	} else {
		n = asprintf(&line, "%s", destination_text(entry->destination, text));
	}
	return n < 0 ? NULL : line;
}

static char *ports_text(const struct rule *rule)
{
	char *text = NULL;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	fprintf(out, "port%s ", rule->n_ports > 1 ? "s" : "");
	for (i = 0; i < rule->n_ports; i++) {
		fprintf(out, "%s%u", i ? ", " : "", rule->ports[i].first);
		if (rule->ports[i].last != rule->ports[i].first)
			fprintf(out, "-%u", rule->ports[i].last);
	}
	fputs(" only", out);
	return memstream_close(out, &text);
}

/* Says in words why a rule wins or doesn't. The caller frees the text. */
static char *why(const struct explanation *x, const struct explain_rule *entry)
{
	const struct explain_rule *winner = x->has_winner ? &x->list[0] : NULL;
	const char *winner_name = winner ? winner->rule->name : "";
	char *line = NULL;
	int n = -1;

	switch (entry->fate) {
	case EXPLAIN_WINS:
		n = asprintf(&line, x->n_matching > 1 ? "the longest prefix that matches"
						      : "the only rule that matches");
		if (x->n_matching > 1 && x->list[1].prefix.len == entry->prefix.len) {
			free(line);
			n = asprintf(&line, entry->destination->kind == DESTINATION_NAME
						    ? "the first of the rules with this address"
						    : "it has the address itself, not a host name");
		}
		break;
	case EXPLAIN_SHORTER:
		n = asprintf(&line, "shorter prefix: /%u, and %s has /%u", entry->prefix.len,
			     winner_name, winner ? winner->prefix.len : 0u);
		break;
	case EXPLAIN_BY_NAME:
		n = asprintf(&line, "by host name, and %s has the address itself", winner_name);
		break;
	case EXPLAIN_LATER:
		n = asprintf(&line, "by host name too, and %s comes first", winner_name);
		break;
	case EXPLAIN_SIDE:
		n = asprintf(&line, "side = server: it holds what such peers connect to");
		break;
	case EXPLAIN_PORT:
		return ports_text(entry->rule);
	case EXPLAIN_PASSED:
		n = asprintf(&line, "it matches, but is not in force by now");
		break;
	}
	return n < 0 ? NULL : line;
}

static void print_values(const struct rule *rule, FILE *out)
{
	char time[DURATION_TEXT_MAX], interval[DURATION_TEXT_MAX], window[DURATION_TEXT_MAX];
	char user_timeout[DURATION_TEXT_MAX] = "off";

	if (!rule->enforce) {
		fputs("  enforce = no: these sockets are left alone\n", out);
		return;
	}
	duration_format(rule->time_s * (uint64_t)1000, time, sizeof(time));
	duration_format(rule->interval_s * (uint64_t)1000, interval, sizeof(interval));
	if (rule->window_ms)
		duration_format(rule->window_ms, window, sizeof(window));
	else
		strcpy(window, "auto");
	if (rule->user_timeout_ms)
		duration_format(rule->user_timeout_ms, user_timeout, sizeof(user_timeout));
	fprintf(out, "  time %s, interval %s, probes %u, user-timeout %s, override %s; window %s\n",
		time, interval, rule->probes, user_timeout, rule_override_name(rule->override),
		window);
}

/* Says what this host itself forgets of the winner's connections, where that is known. */
static void print_host(const struct host_window *host, FILE *out)
{
	if (!host->window_ms)
		return;
	fprintf(out, "  this host's %s forgets it after %" PRIu64 " s\n",
		host->by == HOST_IPVS ? "IPVS" : "connection tracking", host->window_ms / 1000);
}

static void print_list(const struct explanation *x, size_t from, size_t to, const char *heading,
		       FILE *out)
{
	size_t i, name = 0, place = 0;

	if (from < to)
		fprintf(out, "\n%s\n", heading);
	for (i = from; i < to; i++) {
		_cleanup_free_ char *text = where(&x->list[i]);

		if (strlen(x->list[i].rule->name) > name)
			name = strlen(x->list[i].rule->name);
		if (text && strlen(text) > place)
			place = strlen(text);
	}
	for (i = from; i < to; i++) {
		_cleanup_free_ char *text = where(&x->list[i]);
		_cleanup_free_ char *reason = why(x, &x->list[i]);

		fprintf(out, "  %-*s  %-*s  %s\n", (int)name, x->list[i].rule->name, (int)place,
			text ? text : "?", reason ? reason : "?");
	}
}

/* Prints the host names without an address: their rules might match the connection, too. */
static void print_unresolved(const struct config *config, FILE *out)
{
	struct host_name name = {0};
	bool first = true;

	for (; config_next_unresolved(config, &name); first = false)
		fprintf(out, "%s  %s  %s\n", first ? "\nWithout an address by now:\n" : "",
			name.rule->name, name.destination->name);
}

void explain_print(const struct explanation *x, FILE *out)
{
	char address[INET6_ADDRSTRLEN];

	address_text(x, address);
	fprintf(out, x->flow.family == 4 ? "%s:%u" : "[%s]:%u", address, x->flow.peer_port);
	if (x->has_winner) {
		_cleanup_free_ char *text = where(&x->list[0]);
		_cleanup_free_ char *reason = why(x, &x->list[0]);

		fprintf(out, " gets rule %s\n  by %s: %s\n", x->list[0].rule->name,
			text ? text : "?", reason ? reason : "?");
		print_values(x->list[0].rule, out);
		print_host(&x->host, out);
	} else {
		fputs(" gets no rule\n", out);
	}
	print_list(x, x->has_winner, x->n_matching, "These match too:", out);
	print_list(x, x->n_matching, x->n, "These have the address, but don't match:", out);
	print_unresolved(x->config, out);
}

static const char *fate_word(enum explain_fate fate)
{
	switch (fate) {
	case EXPLAIN_WINS:
		return "wins";
	case EXPLAIN_SHORTER:
		return "shorter-prefix";
	case EXPLAIN_BY_NAME:
		return "by-name";
	case EXPLAIN_LATER:
		return "later-rule";
	case EXPLAIN_SIDE:
		return "side";
	case EXPLAIN_PORT:
		return "port";
	case EXPLAIN_PASSED:
		break;
	}
	return "not-in-force";
}

static struct json_object *string_or_null(const char *text)
{
	return text ? json_object_new_string(text) : NULL;
}

static struct json_object *entry_to_json(const struct explanation *x,
					 const struct explain_rule *entry)
{
	_cleanup_free_ char *reason = why(x, entry);
	struct json_object *object = json_object_new_object();
	char text[PREFIX_TEXT_MAX], destination[PREFIX_TEXT_MAX];

	prefix_format(&entry->prefix, text, sizeof(text));
	if (!object || json_put(object, "rule", json_object_new_string(entry->rule->name)) ||
	    json_put(object, "destination",
		     string_or_null(destination_text(entry->destination, destination))) ||
	    json_put(object, "prefix", json_object_new_string(text)) ||
	    json_put(object, "prefix_length", json_object_new_int(entry->prefix.len)) ||
	    json_put(object, "reason", json_object_new_string(fate_word(entry->fate))) ||
	    json_put(object, "why", string_or_null(reason))) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

static struct json_object *list_to_json(const struct explanation *x, size_t from, size_t to)
{
	struct json_object *array = json_object_new_array(), *entry;
	size_t i;

	for (i = from; array && i < to; i++) {
		entry = entry_to_json(x, &x->list[i]);
		if (!entry || json_object_array_add(array, entry)) {
			json_object_put(entry);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static struct json_object *unresolved_to_json(const struct config *config)
{
	struct json_object *array = json_object_new_array(), *text;
	struct host_name name = {0};

	while (array && config_next_unresolved(config, &name)) {
		text = json_object_new_string(name.destination->name);
		if (!text || json_object_array_add(array, text)) {
			json_object_put(text);
			json_object_put(array);
			return NULL;
		}
	}
	return array;
}

static int put_host(struct json_object *object, const struct host_window *host)
{
	if (host->window_ms)
		return json_put(object, "host", json_seconds(host->window_ms));
	return json_object_object_add(object, "host", NULL) ? -ENOMEM : 0;
}

static int put_winner(struct json_object *object, const struct explanation *x)
{
	if (!x->has_winner)
		return json_object_object_add(object, "rule", NULL) ||
				       json_object_object_add(object, "match", NULL)
			       ? -ENOMEM
			       : 0;
	if (json_put(object, "rule", rule_to_json(x->list[0].rule)))
		return -ENOMEM;
	return json_put(object, "match", entry_to_json(x, &x->list[0]));
}

struct json_object *explain_to_json(const struct explanation *x)
{
	struct json_object *object = json_object_new_object();
	char address[INET6_ADDRSTRLEN];

	address_text(x, address);
	if (!object || json_put(object, "address", json_object_new_string(address)) ||
	    json_put(object, "port", json_object_new_int(x->flow.peer_port)) ||
	    put_winner(object, x) || put_host(object, &x->host) ||
	    json_put(object, "also", list_to_json(x, x->has_winner, x->n_matching)) ||
	    json_put(object, "near", list_to_json(x, x->n_matching, x->n)) ||
	    json_put(object, "unresolved", unresolved_to_json(x->config))) {
		json_object_put(object);
		return NULL;
	}
	return object;
}
