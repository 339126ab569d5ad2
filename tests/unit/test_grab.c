// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Helpers that are held up: they are left behind, not too many of them, and once
 * they have ended all is as before. What holds them up here is SO_LINGER.
 */
#include "unit.h"

#define PATIENCE_MS	1000
#define LEFT_BEHIND_MAX 2
#include "../../daemon/grab.c"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

/* Two ends of a connection; the first one lingers when it is closed. */
struct pair {
	int lingers, peer;
};

static void make_pair(struct pair *pair)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 60};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(to);
	char bytes[4096] = {0};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&to, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&to, &size), 0);
	pair->lingers = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(pair->lingers, (struct sockaddr *)&to, size), 0);
	pair->peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair->peer >= 0);
	close(listener);
	/* More than the other end has room for: closing waits for the rest to be sent. */
	while (send(pair->lingers, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(pair->lingers, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
			 0);
}

static int grab_one(struct grabber *grabber, int fd)
{
	const struct owner owner = {.pid = getpid(), .fd = (unsigned)fd};

	return grab_socket(grabber, &owner, 1, 0);
}

/* The helper has the last descriptor of such a socket, and closes it when it is asked again. */
static void hold_up(struct grabber *grabber, struct pair *pair)
{
	int fd;

	make_pair(pair);
	fd = grab_one(grabber, pair->lingers);
	assert_true(fd >= 0);
	close(fd);
	close(pair->lingers);
}

static void test_held_up(void **state)
{
	struct pair pairs[LEFT_BEHIND_MAX];
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, i;
	struct grabber grabber = GRABBER_INIT;

	(void)state;
	if (grab_one(&grabber, plain) == -ENOSYS)
		skip();
	for (i = 0; i < LEFT_BEHIND_MAX; i++) {
		assert_int_equal(n_left_behind, i);
		hold_up(&grabber, &pairs[i]);
		fd = grab_one(&grabber, plain);
		if (i < LEFT_BEHIND_MAX - 1)
			assert_true(fd >= 0);
		else
			assert_int_equal(fd, -EBUSY);
		if (fd >= 0)
			close(fd);
	}
	assert_int_equal(grab_one(&grabber, plain), -EBUSY);
	assert_int_equal(n_left_behind, LEFT_BEHIND_MAX);

	for (i = 0; i < LEFT_BEHIND_MAX; i++)
		close(pairs[i].peer);
	for (i = 0; i < 500 && (fd = grab_one(&grabber, plain)) == -EBUSY; i++)
		poll(NULL, 0, 10);
	assert_true(fd >= 0);
	close(fd);
	grabber_close(&grabber);
	close(plain);
}

/* Told to end it ends, and nothing of it stays. */
static void test_ends(void **state)
{
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), before, after, fd, i;
	struct grabber grabber = GRABBER_INIT;

	(void)state;
	before = dup(plain);
	close(before);
	fd = grab_one(&grabber, plain);
	if (fd == -ENOSYS)
		skip();
	assert_true(fd >= 0);
	close(fd);
	grabber_close(&grabber);
	assert_int_equal(grabber.fd, -1);
	for (i = 0; i < 500 && room_to_leave_one_behind() && n_left_behind; i++)
		poll(NULL, 0, 10); /* a busy machine takes its time */
	after = dup(plain);
	assert_int_equal(after, before);
	close(after);
	close(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_held_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
