// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests what the service manager is told while long work goes on. The test has its own clock. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_us;

static int our_clock(struct timespec *now)
{
	now->tv_sec = (time_t)(clock_us / 1000000);
	now->tv_nsec = (long)(clock_us % 1000000) * 1000;
	return 0;
}

#define clock_gettime(clock, now) ((void)(clock), our_clock(now))
#include "watchdog.c"

/* Opens a socket as the service manager has it, in the abstract namespace. */
static int open_manager(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(name, sizeof(name), "@holdfast-test-alive-%d", (int)getpid());
	strcpy(address.sun_path, name);
	address.sun_path[0] = '\0';
	assert_return_code(bind(fd, (struct sockaddr *)&address,
				(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
			   errno);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

/* Returns the messages that have come since the last call, each followed by a semicolon. */
static const char *heard(int fd)
{
	static char text[1024];
	size_t used = 0;
	ssize_t got;

	text[0] = '\0';
	while ((got = recv(fd, text + used, sizeof(text) - used - 2, 0)) > 0) {
		used += (size_t)got;
		text[used++] = ';';
		text[used] = '\0';
	}
	return text;
}

static void tick(struct watchdog *watchdog, uint64_t us)
{
	clock_us += us;
	assert_int_equal(watchdog_tick(watchdog), 0);
}

/* During a start more time is asked for each second. READY=1 is sent once, two seconds after the
 * rules are in force, and not before, however long it takes until then. */
static void test_start(void **state)
{
	struct watchdog watchdog;
	int fd = open_manager();

	(void)state;
	unsetenv("WATCHDOG_USEC");
	clock_us = 7000000;
	watchdog_init(&watchdog);
	tick(&watchdog, 999999);
	assert_string_equal(heard(fd), "");
	tick(&watchdog, 1);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	tick(&watchdog, 10000000);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	watchdog_enter(&watchdog, WATCHDOG_LOOKING);
	tick(&watchdog, 1000000);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	tick(&watchdog, 999999);
	assert_string_equal(heard(fd), "");
	assert_false(watchdog.ready);
	tick(&watchdog, 1);
	assert_string_equal(heard(fd),
			    "EXTEND_TIMEOUT_USEC=60000000;"
			    "READY=1\nSTATUS=Looking at the connections that are open already;");
	tick(&watchdog, 1000000);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	watchdog_enter(&watchdog, WATCHDOG_RUNNING);
	assert_true(watchdog.ready);
	tick(&watchdog, 10000000);
	assert_string_equal(heard(fd), "");
	watchdog_enter(&watchdog, WATCHDOG_STOPPING);
	tick(&watchdog, 999999);
	assert_string_equal(heard(fd), "");
	tick(&watchdog, 1);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	close(fd);
}

/* A short first pass says READY at its end, not while it goes on. */
static void test_short_start(void **state)
{
	struct watchdog watchdog;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	watchdog_init(&watchdog);
	watchdog_enter(&watchdog, WATCHDOG_LOOKING);
	assert_false(watchdog.ready);
	watchdog_enter(&watchdog, WATCHDOG_RUNNING);
	assert_true(watchdog.ready);
}

/* WATCHDOG=1 is sent four times as often as asked for, and only while work goes on. */
static void test_watchdog(void **state)
{
	struct watchdog watchdog;
	int fd = open_manager();

	(void)state;
	setenv("WATCHDOG_USEC", "400000", 1);
	clock_us = 7000000;
	watchdog_init(&watchdog);
	watchdog_enter(&watchdog, WATCHDOG_RUNNING);
	tick(&watchdog, 99999);
	assert_string_equal(heard(fd), "");
	tick(&watchdog, 1);
	assert_string_equal(heard(fd), "WATCHDOG=1;");
	tick(&watchdog, 99999);
	assert_string_equal(heard(fd), "");
	tick(&watchdog, 900000);
	assert_string_equal(heard(fd), "WATCHDOG=1;");
	unsetenv("WATCHDOG_USEC");
	close(fd);
}

/* Pending signals cancel work, except the work of stopping. */
static void test_signals(void **state)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
	struct timespec none = {0};
	struct watchdog watchdog;
	sigset_t mask;
	size_t i;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&mask, numbers[i]);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	watchdog_init(&watchdog);
	raise(SIGUSR2);
	assert_int_equal(watchdog_tick(&watchdog), 0);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		raise(numbers[i]);
		watchdog_enter(&watchdog, WATCHDOG_RUNNING);
		assert_int_equal(watchdog_tick(&watchdog), -ECANCELED);
		watchdog_enter(&watchdog, WATCHDOG_STOPPING);
		assert_int_equal(watchdog_tick(&watchdog), 0);
		assert_int_equal(sigtimedwait(&mask, NULL, &none) > 0, 1);
		while (sigtimedwait(&mask, NULL, &none) > 0)
			;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_short_start),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
