// SPDX-License-Identifier: GPL-2.0-or-later
/* What the service manager is told while long work goes on, by a clock of ours. */
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

#define clock_gettime(clock, now) our_clock(now)
#include "../../daemon/alive.c"

/* A service manager's socket, in the abstract namespace. */
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

/* What it has been told since the last time, "" for nothing. */
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

static void tick(struct alive *alive, uint64_t us)
{
	clock_us += us;
	assert_int_equal(alive_tick(alive), 0);
}

/* A start: more time each second; READY two seconds after the rules are in force, once, and not
 * before, however long that takes. */
static void test_start(void **state)
{
	struct alive alive;
	int fd = open_manager();

	(void)state;
	unsetenv("WATCHDOG_USEC");
	clock_us = 7000000;
	alive_init(&alive);
	tick(&alive, 999999);
	assert_string_equal(heard(fd), "");
	tick(&alive, 1);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	tick(&alive, 10000000);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	alive_enter(&alive, ALIVE_LOOKING);
	tick(&alive, 1000000);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	tick(&alive, 999999);
	assert_string_equal(heard(fd), "");
	assert_false(alive.ready);
	tick(&alive, 1);
	assert_string_equal(heard(fd),
			    "EXTEND_TIMEOUT_USEC=60000000;"
			    "READY=1\nSTATUS=Looking at the connections that are open already;");
	tick(&alive, 1000000);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	alive_enter(&alive, ALIVE_RUNNING);
	tick(&alive, 10000000);
	assert_string_equal(heard(fd), "");
	alive_enter(&alive, ALIVE_STOPPING);
	tick(&alive, 999999);
	assert_string_equal(heard(fd), "");
	tick(&alive, 1);
	assert_string_equal(heard(fd), "EXTEND_TIMEOUT_USEC=60000000;");
	close(fd);
}

/* The watchdog hears four times as often as it wants to, and only where work goes on. */
static void test_watchdog(void **state)
{
	struct alive alive;
	int fd = open_manager();

	(void)state;
	setenv("WATCHDOG_USEC", "400000", 1);
	clock_us = 7000000;
	alive_init(&alive);
	alive_enter(&alive, ALIVE_RUNNING);
	tick(&alive, 99999);
	assert_string_equal(heard(fd), "");
	tick(&alive, 1);
	assert_string_equal(heard(fd), "WATCHDOG=1;");
	tick(&alive, 99999);
	assert_string_equal(heard(fd), "");
	tick(&alive, 900000);
	assert_string_equal(heard(fd), "WATCHDOG=1;");
	unsetenv("WATCHDOG_USEC");
	close(fd);
}

/* Signals that wait for the event loop cut work short, but for that of stopping. */
static void test_signals(void **state)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
	struct timespec none = {0};
	struct alive alive;
	sigset_t mask;
	size_t i;

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&mask, numbers[i]);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	alive_init(&alive);
	raise(SIGUSR2);
	assert_int_equal(alive_tick(&alive), 0);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		raise(numbers[i]);
		alive_enter(&alive, ALIVE_RUNNING);
		assert_int_equal(alive_tick(&alive), -ECANCELED);
		alive_enter(&alive, ALIVE_STOPPING);
		assert_int_equal(alive_tick(&alive), 0);
		assert_int_equal(sigtimedwait(&mask, NULL, &none) > 0, 1);
		while (sigtimedwait(&mask, NULL, &none) > 0)
			;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
