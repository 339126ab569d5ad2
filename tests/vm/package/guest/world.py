"""The network of the virtual machine, a database server, and connections to it that are watched.

    host ────── server: MariaDB
    container ────┘
"""

import subprocess
import threading
import time
from contextlib import nullcontext
from typing import Iterator

import pymysql

from harness import mariadb, options
from harness.netns import Netns, connect_namespaces
from harness.options import Settings

PORT = 3306
DATABASE = "/var/lib/mariadb-of-the-test"
SERVER = {"host": "10.9.0.2", "container": "10.9.1.2"}
LOOK = 0.02  # seconds between two looks at all connections


class Connection:
    """A MySQL connection that an application keeps open."""

    def __init__(self, world: "World", place: str) -> None:
        inside = world.container.entered() if place == "container" else nullcontext()
        with inside:
            self._mysql = pymysql.connect(host=SERVER[place], port=PORT, user=mariadb.USER,
                                          password=mariadb.PASSWORD)
        self._sock = self._mysql._sock  # pylint: disable=protected-access
        self.local = "{}:{}".format(*self._sock.getsockname()[:2])
        self.id = self.query()

    def query(self) -> int:
        """Asks the server for the id of the connection."""
        with self._mysql.cursor() as cursor:
            cursor.execute("SELECT CONNECTION_ID()")
            return cursor.fetchone()[0]

    @property
    def settings(self) -> Settings:
        """The keepalive options of the connection's socket."""
        return options.read(self._sock)

    def close(self) -> None:
        """Closes the connection as an application does."""
        self._mysql.close()


class Watch:
    """Looks at connections all the time, and notes each change of their settings."""

    def __init__(self, connections: dict[str, Connection]) -> None:
        self._connections = connections
        self._seen: list[tuple[float, str, Settings]] = []
        self._last: dict[str, Settings] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                for name, connection in self._connections.items():
                    settings = connection.settings
                    if self._last.get(name) != settings:
                        self._last[name] = settings
                        self._seen.append((time.monotonic(), name, settings))
            time.sleep(LOOK)

    def changes(self, since: float) -> Iterator[tuple[float, str, Settings]]:
        """Yields the changes since then: when, of which connection, and to what."""
        with self._lock:
            seen = list(self._seen)
        return (change for change in seen if change[0] >= since)


class World:
    """The network, the server and the lasting connections."""

    def __init__(self) -> None:
        self.server, self.container = Netns(), Netns()
        connect_namespaces(self.server, "container", self.container, "eth0")
        self.container.add_address("10.9.1.1/24", device="eth0")
        self.server.add_address(f"{SERVER['container']}/24", device="container")
        subprocess.run(["ip", "link", "add", "to-server", "type", "veth", "peer", "name", "host",
                        "netns", self.server.path], check=True)
        subprocess.run(["ip", "address", "add", "10.9.0.1/24", "dev", "to-server"], check=True)
        subprocess.run(["ip", "link", "set", "to-server", "up"], check=True)
        self.server.ip("link set host up")
        self.server.add_address(f"{SERVER['host']}/24", device="host")
        self.mysql = mariadb.Server(self.server, DATABASE, "/tmp", PORT)
        self.kept = {place: Connection(self, place) for place in SERVER}
        self.watch = Watch(self.kept)

    def connect(self, place: str = "container") -> Connection:
        """Opens one more connection, which isn't watched."""
        return Connection(self, place)
