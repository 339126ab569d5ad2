// SPDX-License-Identifier: GPL-2.0-or-later
/* The ends of connections, as the log has them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "../../bpf/types.h"
#include "../../daemon/end_quota.h"
#include "../../daemon/end_text.h"
#include "../../daemon/ends.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 5000

struct telling {
	struct ends *ends;
	struct log log;
	char *text;
	size_t size;
};

static void begin(struct telling *telling)
{
	*telling = (struct telling){.log = {.most = LOG_LEVEL_ERROR}};
	telling->log.copy = open_memstream(&telling->text, &telling->size);
	telling->ends = ends_new(&telling->log);
	assert_non_null(telling->log.copy);
	assert_non_null(telling->ends);
}

/* So many ends at once; the number of lines that they brought. */
static size_t tell(struct telling *telling, size_t n)
{
	const struct hf_ended ended = {.cause = HF_END_KEEPALIVE, .family = 4};
	const struct config config = {0};
	const struct owners owners = {0};
	size_t before, lines = 0, i;

	fflush(telling->log.copy);
	before = telling->size;
	for (i = 0; i < n; i++)
		assert_int_equal(ends_take(telling->ends, &ended, sizeof(ended)), 0);
	ends_tell(telling->ends, &config, &owners);
	fflush(telling->log.copy);
	for (i = before; i < telling->size; i++)
		lines += telling->text[i] == '\n';
	return lines;
}

static void end(struct telling *telling)
{
	ends_close(telling->ends);
	fclose(telling->log.copy);
	free(telling->text);
}

/* However many connections the peer takes with it at once: a line each. */
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

/* Who has connections end without end doesn't fill the log; how many there were is told. */
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

/* Each cause in the words of both sides. */
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
		end_text_cause(text, sizeof(text), &ended);
		assert_string_equal(text, cases[i].client);
		if (!cases[i].server)
			continue;
		ended.side = HF_SIDE_SERVER;
		end_text_cause(text, sizeof(text), &ended);
		assert_string_equal(text, cases[i].server);
	}
}

/* A moment ago needs no word; what is older says so, and whether anybody listened then. */
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
		end_text_age(text, sizeof(text), &ended, now_ns, 0);
		assert_string_equal(text, cases[i].text);
	}
	ended.at_ns = now_ns - 3u * (uint64_t)SECOND_NS;
	end_text_age(text, sizeof(text), &ended, now_ns, now_ns - SECOND_NS);
	assert_string_equal(text, " (3 s ago, while no holdfastd ran)");
	end_text_age(text, sizeof(text), &ended, ended.at_ns - 1, 0); /* clocks are read apart */
	assert_string_equal(text, "");
}

static size_t ask(struct end_quota *quota, uint64_t netns, uint64_t now_ms, size_t n)
{
	size_t untold, lines = 0, i;

	for (i = 0; i < n; i++)
		lines += end_quota_ask(quota, 1, netns, now_ms, &untold) == 1;
	return lines;
}

/* One tenant's flood takes its own share, and no more. */
static void test_shares(void **state)
{
	struct end_quota quota;
	size_t untold;

	(void)state;
	end_quota_init(&quota, 0);
	assert_int_equal(ask(&quota, 1, 0, 5000), END_QUOTA_AT_ONCE);
	assert_int_equal(ask(&quota, 2, 0, 100), 100);
	assert_int_equal(end_quota_ask(&quota, 2, 1, 0, &untold), 1); /* another rule */
	assert_int_equal(ask(&quota, 1, 1000, 5000), END_QUOTA_A_SECOND);
	assert_int_equal(end_quota_ask(&quota, 1, 1, 2000, &untold), 1);
	assert_int_equal(untold, 5000 - END_QUOTA_A_SECOND);
	assert_int_equal(end_quota_ask(&quota, 1, 1, 2000, &untold), 1);
	assert_int_equal(untold, 0);
	end_quota_free(&quota);
}

/* Namespaces can be made without end: all together have a bound, in lines and in memory. */
static void test_all_together(void **state)
{
	struct end_quota quota;
	size_t lines = 0, i;

	(void)state;
	end_quota_init(&quota, 0);
	for (i = 0; i < 20000; i++)
		lines += ask(&quota, i, 0, 2);
	assert_int_equal(lines, END_QUOTA_ALL_AT_ONCE);
	assert_in_range(quota.n, 1, 1024);
	assert_int_equal(ask(&quota, 1, 1000, 1000), END_QUOTA_ALL_SECOND);
	end_quota_free(&quota);
}

/* The first one of a share that gets no line is told, once for each time. */
static void test_told_once(void **state)
{
	struct end_quota quota;
	size_t untold;

	(void)state;
	end_quota_init(&quota, 0);
	ask(&quota, 1, 0, END_QUOTA_AT_ONCE);
	assert_int_equal(end_quota_ask(&quota, 1, 1, 0, &untold), 0);
	assert_int_equal(end_quota_ask(&quota, 1, 1, 0, &untold), -1);
	assert_int_equal(end_quota_ask(&quota, 1, 1, 10, &untold), 1);
	assert_int_equal(untold, 2);
	assert_int_equal(end_quota_ask(&quota, 1, 1, 10, &untold), 0);
	end_quota_free(&quota);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_told),	  cmocka_unit_test(flood_is_counted),
		cmocka_unit_test(test_causes),	  cmocka_unit_test(test_age),
		cmocka_unit_test(test_shares),	  cmocka_unit_test(test_all_together),
		cmocka_unit_test(test_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
