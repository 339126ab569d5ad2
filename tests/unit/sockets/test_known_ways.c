// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests what is remembered of the ways that packets go. */
#include "unit.h"

#include "sockets/known_ways.h"

static enum way_seen see(struct known_ways *known, uint64_t netns, uint32_t peer, uint8_t local,
			 uint64_t way)
{
	struct hf_flow to = {.family = 4}, from = {.family = 4, .peer = {local}};
	enum way_seen seen;
	int err = 1;

	memcpy(to.peer, &peer, sizeof(peer));
	seen = known_ways_see(known, netns, &to, &from, way, &err);
	assert_int_equal(err, 0);
	return seen;
}

/* A way is new, then the same, then another one; each part of its key counts. */
static void seen(void **state)
{
	struct known_ways known = {0};

	(void)state;
	assert_int_equal(see(&known, 1, 2, 3, 7), WAY_NEW);
	assert_int_equal(see(&known, 1, 2, 3, 7), WAY_SAME);
	assert_int_equal(see(&known, 1, 2, 3, 8), WAY_OTHER);
	assert_int_equal(see(&known, 1, 2, 3, 8), WAY_SAME);
	assert_int_equal(see(&known, 9, 2, 3, 8), WAY_NEW);
	assert_int_equal(see(&known, 1, 9, 3, 8), WAY_NEW);
	assert_int_equal(see(&known, 1, 2, 9, 8), WAY_NEW);
	assert_int_equal(see(&known, 1, 2, 3, 8), WAY_SAME);
	known_ways_free(&known);
}

/* As many as there may be are remembered. With one more all are forgotten, and it goes on. */
static void many(void **state)
{
	struct known_ways known = {0};
	uint32_t i;

	(void)state;
	for (i = 0; i < KNOWN_WAYS_MAX; i++)
		assert_int_equal(see(&known, 1, i, 3, i), WAY_NEW);
	assert_int_equal(known.n, KNOWN_WAYS_MAX);
	assert_int_equal(see(&known, 1, i, 3, i), WAY_NEW);
	assert_int_equal(known.n, 1);
	assert_int_equal(see(&known, 1, 0, 3, 0), WAY_NEW);
	assert_int_equal(see(&known, 1, i, 3, i), WAY_SAME);
	known_ways_free(&known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(seen), cmocka_unit_test(many)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
