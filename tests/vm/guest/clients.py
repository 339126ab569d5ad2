"""Applications in processes of their own, forked and not started: their libraries are slow to load.

Inside is the same application that the system tests use, and the same orders.
"""

import os
import select
import signal
import socket
import sys
import time
from typing import Any, BinaryIO

import sqlalchemy  # noqa: F401  pylint: disable=unused-import

from harness import mysql_agent, orders
from harness.cgroup import Cgroup
from harness.mysql import MysqlClient
from harness.netns import Netns, setns_net


class _Fork:
    """As much of subprocess.Popen as Remote needs."""

    def __init__(self, pid: int, stdin: BinaryIO, stdout: BinaryIO) -> None:
        self.pid = pid
        self.stdin = stdin
        self.stdout = stdout
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def kill(self) -> None:
        """Ends it."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Waits for its end."""
        if self._status is None:
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._status


def _serve(stdin: int, stdout: int) -> None:
    """Takes orders, as a program of its own would."""
    sys.stdin, sys.stdout = os.fdopen(stdin, "r"), os.fdopen(stdout, "w")
    application = mysql_agent.Application()

    def watch(timeout: float) -> dict[str, Any]:
        """Waits until something happens on the idle connection: when, and with what error."""
        poll = select.poll()
        poll.register(application.sock, select.POLLIN)
        if not poll.poll(timeout * 1000):
            return {"at": None, "error": None}
        at = time.monotonic()
        return {"at": at, "error": application.sock.getsockopt(socket.SOL_SOCKET,
                                                               socket.SO_ERROR)}

    orders.serve({order.__name__: order for order in (
        application.open, application.open_pool, application.query, application.settings,
        application.ends, watch)})


class Client(MysqlClient):
    """An application with one connection or one pool."""

    def __init__(self, netns: Netns, cgroup: Cgroup | None, pool: bool = False) -> None:
        # pylint: disable=super-init-not-called
        self.pool, self.id, self.ends, self._buffer = pool, 0, [], b""
        inward, outward = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(inward[1])
                os.close(outward[0])
                if cgroup:
                    with open(cgroup.procs, "w", encoding="ascii") as file:
                        file.write(str(os.getpid()))
                with open(netns.path.replace("/self/", f"/{os.getppid()}/"), "rb") as file:
                    setns_net(file.fileno())
                _serve(inward[0], outward[1])
            finally:
                os._exit(0)
        os.close(inward[0])
        os.close(outward[1])
        self.process = _Fork(pid, os.fdopen(inward[1], "wb", buffering=0),
                             os.fdopen(outward[0], "rb", buffering=0))

    def begin_watch(self, timeout: float) -> None:
        """Starts to wait for the end of its connection; end() has when it came."""
        self.begin("watch", timeout=timeout)
