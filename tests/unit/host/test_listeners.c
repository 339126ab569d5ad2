// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests which listeners can have accepted a connection. */
#include "unit.h"

#include "base/util.h"
#include "host/listeners.h"
#include "host/sockdiag.h"

#include <arpa/inet.h>
#include <string.h>

#define PORT 24400

static uint8_t parse(const char *text, uint8_t address[16])
{
	memset(address, 0, 16);
	assert_int_equal(inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, address), 1);
	return strchr(text, ':') ? 6 : 4;
}

static void add(struct listeners *listeners, const char *address, bool v6only)
{
	struct diag_socket socket = {.local_port = PORT, .v6only = v6only};

	socket.family = parse(address, socket.local);
	assert_int_equal(listeners_add(listeners, &socket), 0);
	listeners_sort(listeners);
}

static bool have(const struct listeners *listeners, const char *local, uint16_t port)
{
	uint8_t address[16], family = parse(local, address);

	return listeners_have(listeners, family, address, port);
}

/* The local ends that are asked for, and a bit for each in struct which. */
static const char *const ends[] = {"10.0.0.5", "127.0.0.1", "::ffff:10.0.0.5", "::1",
				   "2001:db8:0:0:0:ffff:a00:5"};

struct which {
	const char *listens;
	bool v6only;
	unsigned may; /* bits of the ends that it may have accepted */
};

static void test_addresses(void **state)
{
	static const struct which all[] = {
		{"10.0.0.5", false, 1u | 4u},
		{"127.0.0.1", false, 2u},
		{"0.0.0.0", false, 1u | 2u | 4u},
		{"::ffff:10.0.0.5", false, 1u | 4u},
		{"::ffff:0.0.0.0", false, 1u | 2u | 4u},
		{"::1", false, 8u},
		{"::", true, 8u | 16u},
		{"::", false, 31u},
		{"2001:db8::ffff:a00:5", true, 16u},
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		struct listeners listeners = {0};

		add(&listeners, all[i].listens, all[i].v6only);
		for (k = 0; k < ARRAY_SIZE(ends); k++) {
			assert_int_equal(have(&listeners, ends[k], PORT), all[i].may >> k & 1);
			assert_false(have(&listeners, ends[k], PORT + 1));
		}
		listeners_free(&listeners);
	}
}

static void test_many(void **state)
{
	struct listeners listeners = {0};

	(void)state;
	assert_false(have(&listeners, "127.0.0.1", PORT));
	add(&listeners, "127.0.0.2", false);
	add(&listeners, "::1", false);
	add(&listeners, "127.0.0.1", false);
	assert_true(have(&listeners, "127.0.0.1", PORT));
	assert_true(have(&listeners, "::1", PORT));
	assert_false(have(&listeners, "127.0.0.3", PORT));
	listeners_free(&listeners);
	assert_false(have(&listeners, "127.0.0.1", PORT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
