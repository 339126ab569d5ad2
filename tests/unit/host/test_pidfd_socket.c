// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Tests helpers that hang, here because of SIGSTOP. They are left behind up to a limit; once they
 * have ended, new helpers start again.
 */
#include "unit.h"

#define PATIENCE_MS	1000
#define LEFT_BEHIND_MAX 2
#include "host/pidfd_socket.c"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/*
 * Finds the helper that was started last. It is a child of this process, which is a subreaper. 0:
 * not known.
 */
static pid_t find_helper(void)
{
	FILE *children = fopen("/proc/thread-self/children", "re");
	int pid = 0;

	while (children && fscanf(children, "%d", &pid) == 1)
		;
	if (children)
		fclose(children);
	return pid;
}

static int get_one(struct pidfd_helper *helper, int fd)
{
	const struct owner owner = {.pid = getpid(), .fd = (unsigned)fd};

	return pidfd_socket_get(helper, &owner, 1, 0);
}

/* Takes a socket, or skips the test where that isn't allowed, as under yama or in a container. */
static int get_or_skip(struct pidfd_helper *helper, int plain)
{
	int fd = get_one(helper, plain);

	if (fd == -ENOSYS || fd == -EPERM)
		skip();
	assert_true(fd >= 0);
	return fd;
}

static void test_held_up(void **state)
{
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, i;
	struct pidfd_helper helper = PIDFD_HELPER_INIT;
	pid_t stopped[LEFT_BEHIND_MAX];

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	close(get_or_skip(&helper, plain));
	for (i = 0; i < LEFT_BEHIND_MAX; i++) {
		assert_int_equal(n_left_behind, i);
		stopped[i] = find_helper();
		if (!stopped[i])
			skip(); /* no CONFIG_PROC_CHILDREN */
		assert_int_equal(kill(stopped[i], SIGSTOP), 0);
		fd = get_one(&helper, plain);
		if (i < LEFT_BEHIND_MAX - 1)
			assert_true(fd >= 0);
		else
			assert_int_equal(fd, -EBUSY);
		if (fd >= 0)
			close(fd);
	}
	assert_int_equal(get_one(&helper, plain), -EBUSY);
	assert_int_equal(n_left_behind, LEFT_BEHIND_MAX);

	assert_int_equal(kill(stopped[0], SIGKILL), 0);
	assert_int_equal(waitpid(stopped[0], NULL, 0), stopped[0]);
	fd = get_one(&helper, plain);
	assert_true(fd >= 0);
	assert_int_equal(n_left_behind, 1);
	close(fd);
	assert_int_equal(kill(stopped[1], SIGCONT), 0);
	assert_int_equal(waitpid(stopped[1], NULL, 0), stopped[1]);
	pidfd_helper_close(&helper);
	close(plain);
}

/* A helper that is told to end does, and leaves no descriptor open. */
static void test_ends(void **state)
{
	int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), before, after, i;
	struct pidfd_helper helper = PIDFD_HELPER_INIT;

	(void)state;
	before = dup(plain);
	close(before);
	close(get_or_skip(&helper, plain));
	pidfd_helper_close(&helper);
	assert_int_equal(helper.fd, -1);
	for (i = 0; i < 500 && room_to_leave_one_behind() && n_left_behind; i++)
		poll(NULL, 0, 10); /* on a busy machine the helper may end late */
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
