// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests what the log says of the ends of connections. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "bpf/types.h"
#include "sockets/connection_end_quota.h"
#include "sockets/connection_end_text.h"
#include "sockets/connection_ends.h"
#include "sockets/idle_timeouts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 5000

struct telling {
	struct connection_ends *ends;
	struct log log;
	char *text;
	size_t size;
};

static void begin(struct telling *telling)
{
	*telling = (struct telling){.log = {.most = LOG_LEVEL_ERROR}};
	telling->log.copy = open_memstream(&telling->text, &telling->size);
	telling->ends = connection_ends_new(&telling->log);
	assert_non_null(telling->log.copy);
	assert_non_null(telling->ends);
}

/* Logs n ends at once. Returns the number of lines that this adds. */
static size_t tell(struct telling *telling, size_t n)
{
	const struct hf_ended ended = {.cause = HF_END_KEEPALIVE, .family = 4};
	const struct config config = {0};
	const struct owners owners = {0};
	size_t before, lines = 0, i;

	fflush(telling->log.copy);
	before = telling->size;
	for (i = 0; i < n; i++)
		assert_int_equal(connection_ends_take(telling->ends, &ended, sizeof(ended)), 0);
	connection_ends_tell(telling->ends, &config, &owners);
	fflush(telling->log.copy);
	for (i = before; i < telling->size; i++)
		lines += telling->text[i] == '\n';
	return lines;
}

static void end(struct telling *telling)
{
	connection_ends_close(telling->ends);
	fclose(telling->log.copy);
	free(telling->text);
}

/* When a peer goes away, each of its many connections gets a line. */
static void each_is_told(void **state)
{
	struct telling telling;

	(void)state;
	begin(&telling);
	assert_int_equal(tell(&telling, 1), 1);
	assert_int_equal(tell(&telling, 1500), 1500);
	assert_null(strstr(telling.text, "counted"));
	end(&telling);
}

/* A flood of ends doesn't fill the log. The log says how many ends there were. */
static void flood_is_counted(void **state)
{
	struct telling telling;
	size_t told;

	(void)state;
	begin(&telling);
	told = tell(&telling, MANY);
	assert_in_range(told, 1000, MANY / 2);
	assert_non_null(strstr(telling.text, "some are only counted now"));
	assert_in_range(tell(&telling, MANY), 0, 100);
	usleep(100 * 1000);
	assert_in_range(tell(&telling, 1), 1, 2);
	assert_non_null(strstr(telling.text, " more connections have ended meanwhile\n"));
	end(&telling);
}

#define SECOND_NS 1000000000u

/* Each cause has its text, for the client's side and for the server's. */
static void test_causes(void **state)
{
	static const struct {
		enum hf_end cause;
		const char *client, *server;
	} cases[] = {
		{HF_END_SERVER,
		 "closed by the server with a reset after 2.5 s without data from the application, "
		 "which had not closed it",
		 NULL},
		{HF_END_KEEPALIVE,
		 "keepalive gave up: idle for 1.5 s, 1 probe unanswered; the server or the path to "
		 "it is gone",
		 "keepalive gave up: idle for 1.5 s, 1 probe unanswered; the client or the path to "
		 "it is gone"},
		{HF_END_USER_TIMEOUT,
		 "TCP_USER_TIMEOUT (7000 ms) ran out: nothing came from the server for 1.5 s, 1 "
		 "probe unanswered",
		 "TCP_USER_TIMEOUT (7000 ms) ran out: nothing came from the client for 1.5 s, 1 "
		 "probe unanswered"},
		{HF_END_PROBE_RESET,
		 "reset in answer to a keepalive probe, idle for 1.5 s: something on the path has "
		 "forgotten the connection and says so, or the server has restarted",
		 "reset in answer to a keepalive probe, idle for 1.5 s: something on the path has "
		 "forgotten the connection and says so, or the client has restarted"},
		{HF_END_RESET,
		 "reset in answer to data, idle for 1.5 s before: something on the path has "
		 "forgotten the connection and says so, or the server has restarted",
		 "reset in answer to data, idle for 1.5 s before: something on the path has "
		 "forgotten the connection and says so, or the client has restarted"},
		{HF_END_RETRANSMIT,
		 "data stayed unacknowledged: nothing came from the server for 1.5 s",
		 "data stayed unacknowledged: nothing came from the client for 1.5 s"},
		{HF_END_ABORTED,
		 "ended from outside, as `ss -K` does it, idle for 1.5 s; neither the application "
		 "nor the server closed it",
		 "ended from outside, as `ss -K` does it, idle for 1.5 s; neither the application "
		 "nor the client closed it"},
	};
	struct hf_ended ended = {.idle_ms = 1500,
				 .quiet_ms = 2500,
				 .probes = 1,
				 .reset = 1,
				 .user_timeout_ms = 7000};
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ended.cause = (uint8_t)cases[i].cause;
		ended.side = HF_SIDE_CLIENT;
		connection_end_text_cause(text, sizeof(text), &ended);
		assert_string_equal(text, cases[i].client);
		if (!cases[i].server)
			continue;
		ended.side = HF_SIDE_SERVER;
		connection_end_text_cause(text, sizeof(text), &ended);
		assert_string_equal(text, cases[i].server);
	}
}

/* An end that is older than a moment has its age, and says if no daemon ran then. */
static void test_age(void **state)
{
	static const struct {
		uint64_t age_s;
		const char *text;
	} cases[] = {
		{0, ""},
		{9, ""},
		{10, " (10 s ago)"},
		{119, " (119 s ago)"},
		{120, " (2 min ago)"},
		{7199, " (119 min ago)"},
		{7200, " (2 h ago)"},
		{172799, " (47 h ago)"},
		{172800, " (2 d ago)"},
	};
	const uint64_t now_ns = 1000000ull * SECOND_NS;
	struct hf_ended ended = {0};
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ended.at_ns = now_ns - cases[i].age_s * SECOND_NS;
		connection_end_text_age(text, sizeof(text), &ended, now_ns, 0);
		assert_string_equal(text, cases[i].text);
	}
	ended.at_ns = now_ns - 3u * (uint64_t)SECOND_NS;
	connection_end_text_age(text, sizeof(text), &ended, now_ns, now_ns - SECOND_NS);
	assert_string_equal(text, " (3 s ago, while no holdfastd ran)");
	connection_end_text_age(text, sizeof(text), &ended, ended.at_ns - 1,
				0); /* the end is later than `now`, which was read before */
	assert_string_equal(text, "");
}

static size_t ask(struct connection_end_quota *quota, uint64_t netns, uint64_t now_ms, size_t n)
{
	size_t untold, lines = 0, i;

	for (i = 0; i < n; i++)
		lines += connection_end_quota_ask(quota, 1, netns, now_ms, &untold) == 1;
	return lines;
}

/* A flood in one namespace uses up its own share only. */
static void test_shares(void **state)
{
	struct connection_end_quota quota;
	size_t untold;

	(void)state;
	connection_end_quota_init(&quota, 0);
	assert_int_equal(ask(&quota, 1, 0, 5000), END_QUOTA_AT_ONCE);
	assert_int_equal(ask(&quota, 2, 0, 100), 100);
	assert_int_equal(connection_end_quota_ask(&quota, 2, 1, 0, &untold), 1); /* another rule */
	assert_int_equal(ask(&quota, 1, 1000, 5000), END_QUOTA_A_SECOND);
	assert_int_equal(connection_end_quota_ask(&quota, 1, 1, 2000, &untold), 1);
	assert_int_equal(untold, 5000 - END_QUOTA_A_SECOND);
	assert_int_equal(connection_end_quota_ask(&quota, 1, 1, 2000, &untold), 1);
	assert_int_equal(untold, 0);
	connection_end_quota_free(&quota);
}

/* All shares together are limited, in lines and in memory, however many namespaces there are. */
static void test_all_together(void **state)
{
	struct connection_end_quota quota;
	size_t lines = 0, i;

	(void)state;
	connection_end_quota_init(&quota, 0);
	for (i = 0; i < 20000; i++)
		lines += ask(&quota, i, 0, 2);
	assert_int_equal(lines, END_QUOTA_ALL_AT_ONCE);
	assert_in_range(quota.n, 1, 1024);
	assert_int_equal(ask(&quota, 1, 1000, 1000), END_QUOTA_ALL_SECOND);
	connection_end_quota_free(&quota);
}

/* The first end of a share that gets no line returns 0, again after each line. */
static void test_told_once(void **state)
{
	struct connection_end_quota quota;
	size_t untold;

	(void)state;
	connection_end_quota_init(&quota, 0);
	ask(&quota, 1, 0, END_QUOTA_AT_ONCE);
	assert_int_equal(connection_end_quota_ask(&quota, 1, 1, 0, &untold), 0);
	assert_int_equal(connection_end_quota_ask(&quota, 1, 1, 0, &untold), -1);
	assert_int_equal(connection_end_quota_ask(&quota, 1, 1, 10, &untold), 1);
	assert_int_equal(untold, 2);
	assert_int_equal(connection_end_quota_ask(&quota, 1, 1, 10, &untold), 0);
	connection_end_quota_free(&quota);
}

/* Has a peer, named by its last byte, close a connection. Returns whether this suggests a timeout.
 */
static bool closes(struct idle_timeouts *timeouts, uint8_t peer, uint64_t at_ms, uint32_t quiet_ms)
{
	struct hf_ended ended = {.at_ns = at_ms * 1000000u,
				 .rule_key = 1,
				 .quiet_ms = quiet_ms,
				 .peer_port = 3306,
				 .family = 4,
				 .peer = {10, 20, 0, peer}};

	return idle_timeouts_suggest(timeouts, &ended);
}

/* The third close after the same quiet time suggests a timeout, and no later one does. */
static void test_timeout(void **state)
{
	struct idle_timeouts timeouts = {0};

	(void)state;
	assert_false(closes(&timeouts, 1, 10000, 5000));
	assert_false(closes(&timeouts, 1, 20000, 7000));
	assert_false(closes(&timeouts, 1, 25000, 7100)); /* another one */
	assert_true(closes(&timeouts, 1, 30000, 3000));
	assert_false(closes(&timeouts, 1, 40000, 5000));
	assert_false(closes(&timeouts, 1, 50000, 5000));
	idle_timeouts_free(&timeouts);
	assert_false(closes(&timeouts, 1, 10000, 13000));
	assert_false(closes(&timeouts, 1, 20000, 10000));
	assert_false(closes(&timeouts, 1, 30000, 11800)); /* nearer to the first */
	assert_true(closes(&timeouts, 1, 40000, 13000));
	idle_timeouts_free(&timeouts);
	for (size_t i = 0; i < 9; i++) /* none is so short */
		assert_false(closes(&timeouts, 1, 10000 * i, 999));
	idle_timeouts_free(&timeouts);
}

/* A server that goes away suggests none, whether it closes connections at one moment or one after
 * the other, if they were last used at one moment. */
static void test_goes_away(void **state)
{
	struct idle_timeouts timeouts = {0};
	uint32_t i;

	(void)state;
	assert_false(closes(&timeouts, 1, 50000, 15000));
	assert_false(closes(&timeouts, 1, 50001, 16900));
	assert_false(closes(&timeouts, 1, 50002, 13100));
	for (i = 0; i < 20; i++)
		assert_false(closes(&timeouts, 1, 60000 + i, 5000 + 90 * i));
	for (i = 0; i < 20; i++)
		assert_false(closes(&timeouts, 1, 90000 + 400 * i, 30000 + 400 * i));
	for (i = 0; i < 20; i++)
		assert_false(closes(&timeouts, 1, 200000 + 1900 * i, 50000 + 1900 * i));
	idle_timeouts_free(&timeouts);
}

/* Each peer has timeouts of its own, up to four, whose closes may alternate. */
static void test_timeouts_of_peers(void **state)
{
	struct idle_timeouts timeouts = {0};
	uint64_t at_ms = 100000;
	uint32_t round, i;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 8; i++, at_ms += 5000)
			assert_int_equal(
				closes(&timeouts, (uint8_t)(i % 2), at_ms, 5000 + 10000 * (i / 2)),
				round == 2);
	}
	assert_int_equal(timeouts.n, 8);
	assert_false(closes(&timeouts, 0, at_ms, 90000)); /* replaces 5 s */
	for (round = 0; round < 3; round++, at_ms += 5000)
		assert_int_equal(closes(&timeouts, 0, at_ms, 5000), round == 2);
	assert_int_equal(timeouts.n, 8);
	for (i = 0; i < 3 * IDLE_TIMEOUTS_MOST; i++) {
		struct hf_ended ended = {
			.at_ns = (at_ms + i) * 1000000u, .rule_key = 2 + i, .quiet_ms = 5000};

		assert_false(idle_timeouts_suggest(&timeouts, &ended));
	}
	assert_int_equal(timeouts.n, IDLE_TIMEOUTS_MOST);
	idle_timeouts_free(&timeouts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_told),	  cmocka_unit_test(flood_is_counted),
		cmocka_unit_test(test_causes),	  cmocka_unit_test(test_age),
		cmocka_unit_test(test_shares),	  cmocka_unit_test(test_all_together),
		cmocka_unit_test(test_told_once), cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_goes_away), cmocka_unit_test(test_timeouts_of_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
