// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Helpers that are held up: they are left behind, not too many of them, and once
 * they have ended all is as before. What holds them up here is SIGSTOP.
 */
#include "unit.h"

#define PATIENCE_MS	1000
#define LEFT_BEHIND_MAX 2
#include "../../daemon/grab.c"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The helper that was started last: it is a child of ours, once we are its reaper. 0: not known. */
static pid_t helper(void)
{
	FILE *children = fopen("/proc/thread-self/children", "re");
	int pid = 0;

	while (children && fscanf(children, "%d", &pid) == 1)
		;
	if (children)
		fclose(children);
	return pid;
}

static int grab_one(struct grabber *grabber, int fd)
{
	const struct owner owner = {.pid = getpid(), .fd = (unsigned)fd};

	return grab_socket(grabber, &owner, 1, 0);
}

/* Where that isn't to be had, as under yama or in a container, there is nothing to test. */
static int grab_or_skip(struct grabber *grabber, int plain)
{
	int fd = grab_one(grabber, plain);

	if (fd == -ENOSYS || fd == -EPERM)
		skip();
	assert_true(fd >= 0);
	return fd;
}

static void test_held_up(void **state)
{
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, i;
	struct grabber grabber = GRABBER_INIT;
	pid_t stopped[LEFT_BEHIND_MAX];

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	close(grab_or_skip(&grabber, plain));
	for (i = 0; i < LEFT_BEHIND_MAX; i++) {
		assert_int_equal(n_left_behind, i);
		stopped[i] = helper();
		if (!stopped[i])
			skip(); /* no CONFIG_PROC_CHILDREN */
		assert_int_equal(kill(stopped[i], SIGSTOP), 0);
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

	assert_int_equal(kill(stopped[0], SIGKILL), 0);
	assert_int_equal(waitpid(stopped[0], NULL, 0), stopped[0]);
	fd = grab_one(&grabber, plain);
	assert_true(fd >= 0);
	assert_int_equal(n_left_behind, 1);
	close(fd);
	assert_int_equal(kill(stopped[1], SIGCONT), 0);
	assert_int_equal(waitpid(stopped[1], NULL, 0), stopped[1]);
	grabber_close(&grabber);
	close(plain);
}

/* Told to end it ends, and nothing of it stays. */
static void test_ends(void **state)
{
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), before, after, i;
	struct grabber grabber = GRABBER_INIT;

	(void)state;
	before = dup(plain);
	close(before);
	close(grab_or_skip(&grabber, plain));
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
