"""Applications in forked processes, because their libraries are slow to load.

They run the application of the system tests, and take the same orders.
"""

import os
import select
import socket
import time
from typing import Any

import MySQLdb
import sqlalchemy  # noqa: F401  pylint: disable=unused-import

from harness import mysql_agent, orders
from harness.cgroup import Cgroup
from harness.fork import fork
from harness.mariadb import PASSWORD, USER
from harness.mysql import MysqlClient
from harness.netns import Netns

import plain


def _sockets() -> set[int]:
    """Returns the descriptors of this process that are sockets."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        if os.path.exists(path) and os.readlink(path).startswith("socket:"):
            found.add(int(name))
    return found


class Other(mysql_agent.Application):
    """An application with another library, whose exceptions are `errors`."""

    errors: type[Exception]

    def query(self) -> dict[str, Any]:
        """Makes the query. Returns how it went and how long it took."""
        start = time.monotonic()
        outcome: dict[str, Any] = {"id": None, "error": None, "message": None}
        try:
            outcome["id"] = self.connection_id()
        except self.errors as error:
            outcome |= {"error": error.args[0], "message": str(error)}
        outcome["seconds"] = time.monotonic() - start
        return outcome


class Connector(Other):
    """An application with mysqlclient, which uses MariaDB Connector/C."""

    errors = MySQLdb.Error

    def open(self, host: str, port: int) -> int:
        """Opens a connection. Returns the server's id of it."""
        before = _sockets()
        self.connection = MySQLdb.connect(host=host, port=port, user=USER, passwd=PASSWORD,
                                          connect_timeout=5)
        (number,) = _sockets() - before
        self.sock = socket.socket(fileno=os.dup(number))
        return self.connection_id()

    def connection_id(self) -> int:
        """Asks the server for the id of the connection."""
        cursor = self.connection.cursor()
        cursor.execute("SELECT CONNECTION_ID()")
        return cursor.fetchone()[0]


class Plain(Other):
    """An application with a bare socket, connected to the server of plain.py."""

    errors = OSError

    def open(self, host: str, port: int) -> int:
        """Connects to that server's port. Returns the server's number of the connection."""
        self.sock = plain.connect(host)
        return self.connection_id()

    def connection_id(self) -> int:
        """Asks for the number of the connection."""
        return plain.ask(self.sock)


APPLICATIONS = {"connection": mysql_agent.Application, "pool": mysql_agent.Application,
                "Connector/C": Connector, "plain socket": Plain}


class Client(MysqlClient):
    """An application in a process of its own, with one connection or one pool."""

    def __init__(self, netns: Netns, cgroup: Cgroup | None, pool: bool = False,
                 kind: str | None = None) -> None:
        # pylint: disable=super-init-not-called
        self._kind = kind or ("pool" if pool else "connection")
        self.pool = self._kind == "pool"
        self.id, self.ends, self._buffer = 0, [], b""
        self.process = fork(self._serve, netns, cgroup)

    def _serve(self) -> None:
        """Serves orders, as a separate program would."""
        application = APPLICATIONS[self._kind]()

        def watch(timeout: float) -> dict[str, Any]:
            """Waits until something happens on the idle connection. Returns when, and with which
            error."""
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

    def begin_watch(self, timeout: float) -> None:
        """Starts to wait for the end of its connection; end() returns when it came."""
        self.begin("watch", timeout=timeout)
