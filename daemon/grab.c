// SPDX-License-Identifier: GPL-2.0-or-later
#include "grab.h"

#include "util.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

#ifndef PATIENCE_MS /* a test has less patience, and leaves fewer of them behind */
/* A helper that is silent for so long is held up by somebody. */
#define PATIENCE_MS 3000
/* So many are left behind at a time: who holds one up could hold up one after the other. */
#define LEFT_BEHIND_MAX 8
#endif

/* One that was told to end, and doesn't so soon, is held up, too. */
#define GOODBYE_MS 200

/* Our ends of the conversations with those left behind: they hang up when their helpers end. */
static struct pollfd left_behind[LEFT_BEHIND_MAX];
static nfds_t n_left_behind;

struct question {
	pid_t pid;
	unsigned fd;
	uint64_t cookie; /* 0: any */
};

/* The socket, or negative errno; *other is what there was instead, to be closed. */
static int take(const struct question *question, int *other)
{
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, question->pid, 0);
	uint64_t found;
	socklen_t size = sizeof(found);
	int fd;

	*other = -1;
	if (process < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, process, question->fd, 0);
	if (fd < 0)
		return -errno;
	/* Since the look at /proc the number may have come to mean something else. */
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &found, &size) == 0 &&
	    (!question->cookie || found == question->cookie))
		return fd;
	*other = fd;
	return -ENOENT;
}

/* An answer: what it is, 0 or negative errno, and the descriptor beside it. */
union control {
	struct cmsghdr header; /* for its alignment */
	char bytes[CMSG_SPACE(sizeof(int))];
};

static bool answer(int to, int fd)
{
	union control control = {0};
	int result = fd < 0 ? fd : 0;
	struct iovec iov = {.iov_base = &result, .iov_len = sizeof(result)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(to, &message, MSG_NOSIGNAL) == sizeof(result);
}

/* The helper: to the end of the conversation. */
static _Noreturn void help(int with)
{
	struct question question;
	int held = -1, other;
	bool goes_on;

	/* Of ours it keeps nothing: a lock, or a pipe that somebody waits for the end of. */
	if (with > 0)
		syscall(SYS_close_range, 0, (unsigned)with - 1, 0);
	syscall(SYS_close_range, (unsigned)with + 1, ~0u, 0);
	goes_on = answer(with, -EAGAIN); /* it is ready */
	while (goes_on && recv(with, &question, sizeof(question), 0) == sizeof(question)) {
		/* Not before who asked has closed his: SO_LINGER, too, holds up who is the last. */
		if (held >= 0)
			close(held);
		held = take(&question, &other);
		if (other >= 0)
			close(other); /* for as long as its owner pleases */
		goes_on = answer(with, held);
	}
	_exit(0);
}

/* What the helper answers: a descriptor, or negative errno. -ETIMEDOUT, -EPIPE: nothing. */
static int wait_for_answer(int from)
{
	struct pollfd input = {.fd = from, .events = POLLIN};
	int result = 0, fd = -1, n;
	struct iovec iov = {.iov_base = &result, .iov_len = sizeof(result)};
	union control control = {0};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	do
		n = poll(&input, 1, PATIENCE_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -ETIMEDOUT;
	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != sizeof(result))
		return -EPIPE;
	if (message.msg_controllen >= sizeof(struct cmsghdr) &&
	    control.header.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	if (fd >= 0)
		return fd;
	return result < 0 ? result : -EMFILE; /* it was sent, and there was no room for it here */
}

static bool room_to_leave_one_behind(void)
{
	nfds_t i, kept = 0;

	if (poll(left_behind, n_left_behind, 0) < 0)
		return n_left_behind < LEFT_BEHIND_MAX;
	for (i = 0; i < n_left_behind; i++) {
		if (left_behind[i].revents)
			close(left_behind[i].fd);
		else
			left_behind[kept++] = left_behind[i];
	}
	n_left_behind = kept;
	return n_left_behind < LEFT_BEHIND_MAX;
}

/* A grandchild: nobody of ours has to wait for its end. */
static int start(struct grabber *grabber)
{
	_cleanup_close_ int ours = -1;
	int ends[2], err;
	pid_t child;

	if (!room_to_leave_one_behind())
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	ours = ends[0];
	child = fork();
	if (child == 0) {
		if (fork() == 0)
			help(ends[1]);
		_exit(0);
	}
	err = errno;
	close(ends[1]);
	if (child < 0)
		return -err;
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	err = wait_for_answer(ours);
	if (err != -EAGAIN)
		return err;
	grabber->fd = take_fd(&ours);
	return 0;
}

static int ask(struct grabber *grabber, const struct question *question)
{
	int err = grabber->fd < 0 ? start(grabber) : 0;

	if (err)
		return err;
	if (send(grabber->fd, question, sizeof(*question), MSG_NOSIGNAL) != sizeof(*question))
		return -EPIPE;
	return wait_for_answer(grabber->fd);
}

static int grab(struct grabber *grabber, const struct owner *owner, uint64_t cookie)
{
	struct question question;
	bool first;
	int fd;

	memset(&question, 0, sizeof(question)); /* with what is between its members */
	question.pid = owner->pid;
	question.fd = owner->fd;
	question.cookie = cookie;
	do {
		first = grabber->fd < 0;
		fd = ask(grabber, &question);
		if (fd != -ETIMEDOUT && fd != -EPIPE)
			break;
		grabber_close(grabber);
	} while (!first); /* else what it was asked before may hold it up */
	return fd;
}

int grab_socket(struct grabber *grabber, const struct owner *owners, size_t n, uint64_t cookie)
{
	int fd, err = -ENOENT;
	size_t i;

	for (i = 0; i < n; i++) {
		fd = grab(grabber, &owners[i], cookie);
		if (fd >= 0)
			return fd;
		if (fd != -ESRCH && fd != -EBADF && fd != -ENOENT)
			err = fd;
	}
	return err;
}

void grabber_close(struct grabber *grabber)
{
	struct pollfd end = {.fd = grabber->fd};

	if (grabber->fd < 0)
		return;
	shutdown(grabber->fd, SHUT_WR);
	if (poll(&end, 1, GOODBYE_MS) == 0 && n_left_behind < LEFT_BEHIND_MAX)
		left_behind[n_left_behind++] = end;
	else
		close(grabber->fd);
	grabber->fd = -1;
}

bool grab_possible(void)
{
	return syscall(SYS_pidfd_getfd, -1, -1, 0) < 0 && errno != ENOSYS;
}
