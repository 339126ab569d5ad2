// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests how a snapshot takes up a socket, and when it says the next probe is due. */
#include "unit.h"

#include "sockets/snapshot.h"

#include <errno.h>
#include <netinet/tcp.h>

/* Makes an empty snapshot with two rules of generation 5. */
static void begin(struct snapshot *snapshot)
{
	*snapshot = (struct snapshot){.generation = 5, .asked_ms = 100000};
	snapshot->config.rules = calloc(2, sizeof(*snapshot->config.rules));
	assert_non_null(snapshot->config.rules);
	snapshot->config.n_rules = 2;
	strcpy(snapshot->config.rules[0].name, "first");
	strcpy(snapshot->config.rules[1].name, "second");
}

static const struct diag_socket diag = {.state = TCP_ESTABLISHED, .cookie = 77, .idle_ms = 400};

static struct hf_view view_of(unsigned rule, uint32_t generation)
{
	return (struct hf_view){.cookie = 77,
				.flags = HF_VIEW_MATCH,
				.rule = rule,
				.generation = generation,
				.side = HF_SIDE_SERVER,
				.now = {.on = 1, .time_s = 33}};
}

static void test_row(void **state)
{
	struct hf_view view = view_of(1, 5);
	struct snapshot snapshot;

	(void)state;
	begin(&snapshot);
	assert_int_equal(snapshot_add(&snapshot, &diag, &view, 4026531840), 0);
	assert_int_equal(snapshot.n, 1);
	assert_string_equal(snapshot.sockets[0].rule->name, "second");
	assert_int_equal(snapshot.sockets[0].diag.cookie, 77);
	assert_int_equal(snapshot.sockets[0].netns, 4026531840);
	assert_int_equal(snapshot.sockets[0].received_ms, 99600);
	assert_int_equal(snapshot.sockets[0].now.time_s, 33);
	assert_int_equal(snapshot.sockets[0].side, HF_SIDE_SERVER);
	snapshot_free(&snapshot);
}

/* A view of other rules can't be matched with the snapshot's: the snapshot is to be taken again. */
static void test_other_rules(void **state)
{
	struct hf_view older = view_of(1, 4), newer = view_of(1, 6), beyond = view_of(2, 5);
	struct snapshot snapshot;

	(void)state;
	begin(&snapshot);
	assert_int_equal(snapshot_add(&snapshot, &diag, &older, 1), -ESTALE);
	assert_int_equal(snapshot_add(&snapshot, &diag, &newer, 1), -ESTALE);
	assert_int_equal(snapshot_add(&snapshot, &diag, &beyond, 1), -ESTALE);
	assert_int_equal(snapshot.n, 0);
	snapshot_free(&snapshot);
}

/* A view that no rule matches any more is left out, though it has no generation. */
static void test_no_rule(void **state)
{
	struct hf_view view = {.cookie = 77, .flags = HF_VIEW_RECORD};
	struct snapshot snapshot;

	(void)state;
	begin(&snapshot);
	assert_int_equal(snapshot_add(&snapshot, &diag, &view, 1), 0);
	assert_int_equal(snapshot.n, 0);
	snapshot_free(&snapshot);
}

static int64_t due(bool on, uint8_t timer, uint32_t expires_ms, uint32_t idle_ms,
		   uint8_t unanswered)
{
	struct snapshot_socket socket = {.now = {.on = on, .time_s = 120}};

	socket.diag.timer = timer;
	socket.diag.expires_ms = expires_ms;
	socket.diag.idle_ms = idle_ms;
	socket.diag.unanswered = unanswered;
	return snapshot_next_probe_ms(&socket);
}

/* A timer that fires after a packet was received is armed again, for the rest of the time. */
static void test_next_probe(void **state)
{
	(void)state;
	assert_int_equal(due(true, 2, 20000, 100000, 0), 20000);
	assert_int_equal(due(true, 2, 20000, 5000, 0), 115000);
	/* Timers fire late. */
	assert_int_equal(due(true, 2, 21000, 100000, 0), 21000);
	/* After an unanswered probe the interval counts, not the time. */
	assert_int_equal(due(true, 2, 20000, 5000, 1), 20000);
	assert_int_equal(due(false, 2, 20000, 5000, 0), -1);
	assert_int_equal(due(true, 1, 20000, 5000, 0), -1);
	assert_int_equal(due(true, 0, 20000, 5000, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_other_rules),
		cmocka_unit_test(test_no_rule),
		cmocka_unit_test(test_next_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
