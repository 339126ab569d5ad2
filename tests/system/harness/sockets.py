"""TCP sockets in another process, namespace and control group."""

import errno
from typing import Any, Sequence

from .cgroup import Cgroup
from .netns import HAS_IPV6, Netns
from .options import Settings
from .remote import Remote, RemoteError


ANY = "::" if HAS_IPV6 else "0.0.0.0"


class Socket:
    """A socket of an agent."""

    def __init__(self, agent: "Agent", number: int) -> None:
        self.agent = agent
        self.number = number

    def _call(self, do: str, **arguments: Any) -> Any:
        return self.agent.call(do, sock=self.number, **arguments)

    @property
    def settings(self) -> Settings:
        """The keepalive options as the application reads them."""
        return Settings(*self._call("settings"))

    @property
    def info(self) -> dict[str, Any]:
        """The socket's fd, inode, cookie, local and peer address."""
        return self._call("info")

    @property
    def local_port(self) -> int:
        """The port that the socket is bound to."""
        return self._call("local_port")

    @property
    def error(self) -> int:
        """The pending error (an errno); reading it clears it."""
        return self._call("error")

    def change(self, **values: int) -> None:
        """Sets options in the order given: keepalive, time, interval, probes, user_timeout."""
        self._call("change", values=values)

    def change_raw(self, option: str, value: bytes) -> None:
        """Sets an option to a value of any length."""
        self._call("change_raw", option=option, value=value.hex())

    def encrypt(self) -> None:
        """Has the kernel do the socket's TLS from now on; skips the test where the kernel can't."""
        try:
            self._call("encrypt")
        except RemoteError as error:
            if error.errno not in (errno.ENOENT, errno.ENOPROTOOPT):
                raise
            import pytest  # some machines that open sockets don't have it

            pytest.skip(f"this kernel has no kTLS: {error}")

    def dump(self) -> Settings:
        """Takes the connection away as CRIU does. Returns its settings."""
        return Settings(*self._call("dump"))

    def disconnect(self) -> None:
        """Disconnects the socket by connect(AF_UNSPEC)."""
        self._call("disconnect")

    def connect_again(self, address: str, port: int) -> None:
        """Connects the socket after disconnect()."""
        self._call("connect_again", address=address, port=port)

    def listen_on(self) -> "Listener":
        """Makes the socket a listener after disconnect()."""
        self._call("listen_on")
        return Listener(self.agent, self.number, 0)

    def send(self, text: str) -> None:
        """Sends a text."""
        self._call("send", text=text)

    def receive(self) -> str:
        """Returns what has arrived, or arrives within 5 s."""
        return self._call("receive")

    def close(self) -> None:
        """Closes the socket."""
        self._call("close")


class Listener(Socket):
    """A listening socket of an agent."""

    def __init__(self, agent: "Agent", number: int, port: int) -> None:
        super().__init__(agent, number)
        self.port = port

    def accept(self) -> Socket:
        """Accepts the next connection."""
        return Socket(self.agent, self._call("accept"))

    def serve_all(self) -> None:
        """Accepts every connection in the background from now on, and closes it."""
        self._call("serve_all")

    def keep_all(self, count: int) -> None:
        """Accepts `count` connections in the background, and keeps them open."""
        self._call("keep_all", count=count)


class Agent(Remote):
    """A process that opens sockets on order."""

    def __init__(self, netns: Netns | None = None, cgroup: Cgroup | None = None,
                 through: Sequence[str] = ()) -> None:
        super().__init__("harness.agent", netns, cgroup, site=False, through=through)

    @property
    def command(self) -> str:
        """The command name of the process."""
        with open(f"/proc/{self.pid}/comm", encoding="utf-8") as file:
            return file.read().rstrip("\n")

    def listen(self, port: int, address: str = ANY, backlog: int = 1024) -> Listener:
        """Opens a listener, by default on all addresses of both families."""
        made = self.call("listen", address=address, port=port, backlog=backlog)
        return Listener(self, made["id"], made["port"])

    def begin_connect(self, address: str, port: int, family: str | None = None,
                      source: str | None = None, device: str | None = None,
                      source_port: int = 0, **values: int) -> None:
        """Starts to connect; end_connect() waits for the connection."""
        self.begin("connect", address=address, port=port, family=family, source=source,
                   source_port=source_port, device=device, values=values)

    def end_connect(self) -> Socket:
        """Waits for the connection that begin_connect() has started, and returns it."""
        return Socket(self, self.end())

    def connect(self, address: str, port: int, family: str | None = None,
                source: str | None = None, device: str | None = None, source_port: int = 0,
                **values: int) -> Socket:
        """Opens a connection; `values` (keepalive, time...) are set before connect()."""
        self.begin_connect(address, port, family, source, device, source_port, **values)
        return self.end_connect()

    def connect_mptcp(self, address: str, port: int) -> Socket:
        """Opens a Multipath TCP connection; skips the test where the kernel has no MPTCP."""
        try:
            return Socket(self, self.call("connect_mptcp", address=address, port=port))
        except RemoteError as error:
            if error.errno not in (errno.EPROTONOSUPPORT, errno.ENOPROTOOPT):
                raise
            pytest.skip(f"this kernel has no MPTCP: {error}")

    def restore(self, local: tuple[str, int], peer: tuple[str, int], **values: int) -> Socket:
        """Restores a connection as CRIU does, with these settings."""
        return Socket(self, self.call("restore", local=local, peer=peer, values=values))

    def connect_many(self, address: str, port: int, count: int, **values: int) -> list[Socket]:
        """Opens `count` connections, as connect() does."""
        return [Socket(self, number) for number in self.call(
            "connect_many", address=address, port=port, count=count, values=values)]

    def settings_of(self, socks: Sequence[Socket]) -> dict[Settings, int]:
        """Returns which settings some of its sockets have, and how many sockets have each."""
        return {Settings(*settings): count for settings, count in self.call(
            "settings_of", socks=[sock.number for sock in socks])}

    def churn_start(self, address: str, port: int) -> None:
        """Starts to open connection after connection in the background."""
        self.call("churn_start", address=address, port=port)

    def churn_stop(self) -> dict[Settings, int]:
        """Stops the connecting. Returns which settings were seen, and how often."""
        return {Settings(*settings): count for settings, count in self.call("churn_stop")}

    def park(self, *socks: Socket) -> None:
        """Hides network namespace and sockets where no process has them open; see agent.park()."""
        self.call("park", socks=[s.number for s in socks])

    def unpark(self) -> list[Socket]:
        """Takes the sockets out of hiding, in the same order."""
        return [Socket(self, number) for number in self.call("unpark")]
