// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Does work whose instructions callgrind counts. The work must not differ from run to run.
 *
 *   counts match RULES N   match N connections against RULES prefixes
 *   counts cookies N       add N cookies to the cookie set of a reconcile pass, and look them up
 *   counts status N        write N sockets as status -J does
 */
#include "base/cookie_set.h"
#include "conf/conf.h"
#include "rules/lpm.h"
#include "show/status.h"

#include <stdlib.h>
#include <string.h>

/* Returns the text of the rules. One in ten prefixes lies in the next one's. */
static char *rules_text(unsigned rules)
{
	char *text = NULL;
	unsigned i;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		exit(1);
	for (i = 0; i < rules; i++) {
		unsigned net = i % 10 ? i : i + 1;

		fprintf(out, "[rule r%u]\ndestination = 10.%u.%u.%s\n", i, net >> 8, net & 255,
			i % 10 ? "0/24" : "128/25");
	}
	fclose(out);
	return text;
}

static void get_config(unsigned rules, struct config *config)
{
	struct conf_messages messages = {0};
	char *text = rules_text(rules);

	if (conf_parse_text("counts", text, strlen(text), config, &messages)) {
		fprintf(stderr, "counts: %s\n", messages.n ? messages.list[0].text : "?");
		exit(1);
	}
	conf_messages_free(&messages);
	free(text);
}

static void match(unsigned rules, unsigned n)
{
	struct rule_entry *entries;
	struct config config;
	enum hf_side side;
	struct error e;
	struct lpm *lpm;
	size_t n_entries;
	unsigned i, found = 0;

	get_config(rules, &config);
	if (rules_compile(&config, 1, &entries, &n_entries, &e))
		exit(1);
	lpm = lpm_new(entries, n_entries);
	for (i = 0; i < n; i++) {
		struct hf_flow flow = {
			.family = 4, .peer_port = i % 2 ? 3306 : 443, .local_port = 40000};

		flow.peer[0] = 10;
		flow.peer[1] = (uint8_t)(i >> 8);
		flow.peer[2] = (uint8_t)i;
		flow.peer[3] = 1;
		found += lpm_match(lpm, &flow, &side) != NULL;
	}
	printf("%u\n", found);
	lpm_free(lpm);
	free(entries);
	config_free(&config);
}

static void set(unsigned n)
{
	struct cookie_set cookies = {0};
	unsigned i, found = 0;

	for (i = 0; i < n; i++)
		cookie_set_add(&cookies, 1000000 + 2 * (uint64_t)i);
	for (i = 0; i < n; i++)
		found += cookie_set_have(&cookies, 1000000 + (uint64_t)i);
	printf("%u\n", found);
	cookie_set_free(&cookies);
}

static void status(unsigned n)
{
	static const struct owner owner = {.pid = 1234, .fd = 7, .command = "python3"};
	struct json_stream json = {.out = stdout};
	struct config config;
	unsigned i;

	get_config(1, &config);
	json_stream_open(&json, NULL, '[');
	for (i = 0; i < n; i++) {
		struct snapshot_socket socket = {
			.diag = {.family = 4,
				 .state = 1,
				 .timer = 2,
				 .local = {10, 0, 1, 5},
				 .peer = {10, 20, 0, 8},
				 .local_port = 41234,
				 .peer_port = 3306,
				 .idle_ms = 43200 + i,
				 .expires_ms = 76800,
				 .cookie = 101205 + i},
			.now = {.on = 1, .time_s = 120, .interval_s = 30, .probes = 4},
			.rule = &config.rules[0],
			.cgroup = "/system.slice/app.service",
			.owners = &owner,
			.n_owners = 1,
		};

		json_stream_open(&json, NULL, '{');
		status_socket_print(&json, &socket);
		json_stream_close(&json, '}');
	}
	json_stream_close(&json, ']');
	config_free(&config);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "match") == 0)
		match((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	else if (argc == 3 && strcmp(argv[1], "cookies") == 0)
		set((unsigned)atoi(argv[2]));
	else if (argc == 3 && strcmp(argv[1], "status") == 0)
		status((unsigned)atoi(argv[2]));
	else
		return 2;
	return 0;
}
