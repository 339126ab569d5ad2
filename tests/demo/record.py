"""What the virtual machine has told of two idle connections, and what follows from it.

The events are those of guest/main.py, in the machine's own time. All times here are in seconds
since both connections began to idle.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Iterable

LOST, HELD = "lost", "held"


@dataclass(frozen=True)
class Packet:
    """A TCP segment that the firewall received from the client's side or sent there."""

    at: float
    sender: str   # "client" or "server"
    size: int     # of its data, in bytes
    probe: bool   # a keepalive probe
    passed: bool  # the firewall let it through


@dataclass
class Connection:
    """One of the two connections."""

    name: str
    keepalive: int = 0              # its keepalive time in seconds, by getsockopt
    packets: list[Packet] = field(default_factory=list)
    forgotten: float | None = None  # when the firewall's entry was removed
    asked: float = 0
    ended: float = 0                # when the query was answered or given up
    seconds: float = 0              # between these two moments, as measured by the client
    error: int | None = None
    message: str | None = None
    same: bool = False              # answered on the connection that the pool had

    def idle(self, until: float) -> list[tuple[float, float]]:
        """Returns a line of points (time, seconds since the firewall last passed a packet)."""
        passed = [packet.at for packet in self.packets if packet.passed]
        last = max(at for at in passed if at <= 0)
        line = [(0.0, -last)]
        for at in passed:
            if 0 < at <= until:
                line += [(at, at - last), (at, 0.0)]
                last = at
        return [*line, (until, until - last)]

    def probes(self, until: float) -> list[tuple[float, float]]:
        """Returns the answered keepalive probes: when, and after how long an idle time."""
        passed = [packet for packet in self.packets if packet.passed]
        return [(probe.at, probe.at - before.at)
                for before, probe, after in zip(passed, passed[1:], passed[2:])
                if probe.probe and probe.at < until
                and after.sender == "server" and after.at - probe.at < 1]

    def longest(self, until: float) -> float:
        """Returns the longest idle time."""
        return max(idle for _, idle in self.idle(until))

    def dropped(self) -> list[float]:
        """Returns when packets of the query were sent and dropped."""
        return [packet.at for packet in self.packets if not packet.passed]

    @property
    def kept(self) -> bool:
        """Whether the query was answered on the connection that the pool had."""
        return self.error is None and self.same


@dataclass
class Record:
    """The whole story."""

    kernel: str = ""
    window: int = 0  # seconds of idle time after which the firewall forgets
    end: float = 0
    connections: dict[str, Connection] = field(
        default_factory=lambda: {name: Connection(name) for name in (LOST, HELD)})

    @property
    def lost(self) -> Connection:
        """The connection as it comes."""
        return self.connections[LOST]

    @property
    def held(self) -> Connection:
        """The connection that holdfast holds."""
        return self.connections[HELD]

    def sentence(self) -> str:
        """Returns the story in words, for those who don't see the picture."""
        lost, held = self.lost, self.held
        probes = len(held.probes(held.asked))
        return (f"Two MySQL connections idle for {lost.asked:.0f} s behind a firewall that "
                f"forgets after {self.window} s. As it comes: the firewall forgets the "
                f"connection, the next query hangs for {lost.seconds:.0f} s and fails with error "
                f"{lost.error}. Held by holdfast: {probes} keepalive probes are answered, and "
                f"the next query is answered in {held.seconds * 1000:.0f} ms.")


def read(events: Iterable[dict[str, Any]]) -> Record:
    """Returns the story that these events tell, in the order in which they came."""
    record, events = Record(), list(events)
    start = next(event["at"] for event in events if event["event"] == "idle")
    for event in events:
        kind, at = event["event"], event["at"] - start
        if kind == "server":
            record.kernel, record.window = event["kernel"], event["window"]
        elif kind == "end":
            record.end = at
        if not event["who"]:
            continue
        one = record.connections[event["who"]]
        if kind == "opened":
            one.keepalive = event["settings"][1]
        elif kind == "packet":
            one.packets.append(Packet(at, event["sender"], event["size"], event["probe"],
                                      event["passed"]))
        elif kind == "forgotten":
            one.forgotten = at
        elif kind == "query":
            one.asked = at
        elif kind == "outcome":
            one.ended, one.seconds = at, event["seconds"]
            one.error, one.message, one.same = event["error"], event["message"], event["same"]
    return record


def load(path: str) -> Record:
    """Reads the story from a file with one event a line."""
    with open(path, encoding="ascii") as file:
        return read(map(json.loads, file))
