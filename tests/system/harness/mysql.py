"""MySQL applications in another process, namespace and control group."""

from typing import NamedTuple

from .cgroup import Cgroup
from .netns import Netns
from .options import Settings
from .remote import Remote


class Outcome(NamedTuple):
    """How a query went: the server's id of the connection, or the client's error."""

    id: int | None
    error: int | None
    message: str | None
    seconds: float


class MysqlClient(Remote):
    """A process with one PyMySQL connection, alone or in a SQLAlchemy pool."""

    def __init__(self, netns: Netns, cgroup: Cgroup | None, pool: bool = False) -> None:
        super().__init__("harness.mysql_agent", netns, cgroup)
        self.pool = pool
        self.id = 0
        self.ends: list[tuple[str, int]] = []

    def rename(self, name: str) -> None:
        """Changes the command name of the process."""
        self.call("rename", name=name)

    def begin_open(self, host: str, port: int) -> None:
        """Starts to connect; end_open() waits until the connection is open."""
        self.begin("open_pool" if self.pool else "open", host=host, port=port)

    def end_open(self) -> None:
        """Waits until the connection is open and the server has told its id."""
        self.id = self.end()
        self.ends = [tuple(end) for end in self.call("ends")]

    def begin_query(self) -> None:
        """Sends a query; end_query() waits for the answer."""
        self.begin("query")

    def end_query(self, timeout: float = 60) -> Outcome:
        """Waits for the answer and returns how the query went."""
        return Outcome(**self.end(timeout))

    @property
    def settings(self) -> Settings:
        """The keepalive options of its connection."""
        return Settings(*self.call("settings"))
