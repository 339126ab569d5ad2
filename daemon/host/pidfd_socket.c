// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/pidfd_socket.h"

#include "base/util.h"

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

#ifndef PATIENCE_MS /* a test sets both to lower numbers */
/* A helper that doesn't answer for this long is taken to hang in close(). */
#define PATIENCE_MS 3000
/* How many helpers may be left behind: whoever makes one hang could make all of them hang. */
#define LEFT_BEHIND_MAX 8
#endif

/* A helper that was told to end and hasn't after this long is taken to hang, too. */
#define GOODBYE_MS 200

/* Our sockets to the helpers left behind. Each one hangs up when its helper ends. */
static struct pollfd left_behind[LEFT_BEHIND_MAX];
static nfds_t n_left_behind;

struct question {
	pid_t pid;
	unsigned fd;
	uint64_t cookie; /* 0: any */
};

/*
 * Takes the descriptor. Returns it if it is the socket that was asked for; if it is another file
 * puts it into *other, which the caller closes, and returns -ENOENT. Negative errno.
 */
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
	/* The number may refer to another file than when /proc was read. */
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &found, &size) == 0 &&
	    (!question->cookie || found == question->cookie))
		return fd;
	*other = fd;
	return -ENOENT;
}

/* Room for the control message that carries the descriptor of an answer. */
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

/* Runs the helper: answers questions until `with` is shut down, and exits. */
static _Noreturn void help(int with)
{
	struct question question;
	int held = -1, other;
	bool goes_on;

	/* Closes what it inherited: a lock, say, or a pipe whose end somebody waits for. */
	if (with > 0)
		syscall(SYS_close_range, 0, (unsigned)with - 1, 0);
	syscall(SYS_close_range, (unsigned)with + 1, ~0u, 0);
	goes_on = answer(with, -EAGAIN); /* says that the helper is ready */
	while (goes_on && recv(with, &question, sizeof(question), 0) == sizeof(question)) {
		/*
		 * The daemon has closed its descriptor by now. With SO_LINGER the last close() of a
		 * socket can take long, too, and it is the helper that makes it.
		 */
		if (held >= 0)
			close(held);
		held = take(&question, &other);
		if (other >= 0)
			close(other); /* can take without end: see pidfd_socket.h */
		goes_on = answer(with, held);
	}
	_exit(0);
}

/*
 * Waits for the helper's answer: a descriptor or negative errno. Returns -ETIMEDOUT or -EPIPE if
 * the helper gives none.
 */
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
	return result < 0 ? result : -EMFILE; /* it was sent, and we have no descriptor free */
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

/* Starts the helper as a grandchild, so that this process needn't wait for its end. */
static int start(struct pidfd_helper *helper)
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
	helper->fd = take_fd(&ours);
	return 0;
}

static int ask(struct pidfd_helper *helper, const struct question *question)
{
	int err = helper->fd < 0 ? start(helper) : 0;

	if (err)
		return err;
	if (send(helper->fd, question, sizeof(*question), MSG_NOSIGNAL) != sizeof(*question))
		return -EPIPE;
	return wait_for_answer(helper->fd);
}

static int get(struct pidfd_helper *helper, const struct owner *owner, uint64_t cookie)
{
	struct question question;
	bool first;
	int fd;

	memset(&question, 0, sizeof(question)); /* padding included */
	question.pid = owner->pid;
	question.fd = owner->fd;
	question.cookie = cookie;
	do {
		first = helper->fd < 0;
		fd = ask(helper, &question);
		if (fd != -ETIMEDOUT && fd != -EPIPE)
			break;
		pidfd_helper_close(helper);
	} while (!first); /* a used helper may hang because of an earlier question: ask a new one */
	return fd;
}

int pidfd_socket_get(struct pidfd_helper *helper, const struct owner *owners, size_t n,
		     uint64_t cookie)
{
	int fd, err = -ENOENT;
	size_t i;

	for (i = 0; i < n; i++) {
		fd = get(helper, &owners[i], cookie);
		if (fd >= 0)
			return fd;
		if (fd != -ESRCH && fd != -EBADF && fd != -ENOENT)
			err = fd;
	}
	return err;
}

void pidfd_helper_close(struct pidfd_helper *helper)
{
	struct pollfd end = {.fd = helper->fd};

	if (helper->fd < 0)
		return;
	shutdown(helper->fd, SHUT_WR);
	if (poll(&end, 1, GOODBYE_MS) == 0 && n_left_behind < LEFT_BEHIND_MAX)
		left_behind[n_left_behind++] = end;
	else
		close(helper->fd);
	helper->fd = -1;
}

bool pidfd_socket_possible(void)
{
	return syscall(SYS_pidfd_getfd, -1, -1, 0) < 0 && errno != ENOSYS;
}
