"""Applications in processes of their own, forked and not started: their libraries are slow to load.

Inside is the same application that the system tests use, and the same orders.
"""

import select
import socket
import time
from typing import Any

import sqlalchemy  # noqa: F401  pylint: disable=unused-import

from harness import mysql_agent, orders
from harness.cgroup import Cgroup
from harness.fork import fork
from harness.mysql import MysqlClient
from harness.netns import Netns


def _serve() -> None:
    """Takes orders, as a program of its own would."""
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
        self.process = fork(_serve, netns, cgroup)

    def begin_watch(self, timeout: float) -> None:
        """Starts to wait for the end of its connection; end() has when it came."""
        self.begin("watch", timeout=timeout)
