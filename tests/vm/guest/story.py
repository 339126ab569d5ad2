"""The night: every connection of every case in it, asked again after its idle time.

    0 s        controls and existing connections connect
    3000 s     the daemons start; one of them is killed at once; the others connect
    3100 s     some paths are cut
    4000 s     the first are asked, after 4000 s
    20000 s    the daemon that was killed starts again
    31000 s    the last are asked, after 28000 s
"""

import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Sequence

from harness import mariadb
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.mysql import Outcome
from harness.options import Settings
from harness.wait import sleep_until

from clients import Client
from world import PORT, SERVER, World

START, CUT, RESTART = 3000, 3100, 20000
DATABASE = "/var/lib/holdfast-mariadb"
RULES = (rule("everywhere", port=PORT)
         + rule("short", "10.78.0.0/16", PORT, window="350s")
         + rule("impatient", SERVER["impatient"], PORT, time="60s", interval="10s", probes=5,
                user_timeout="120s"))
# Each look at all sockets wakes the machine up; the other daemon has the default.
SELDOM = "[daemon]\nreconcile = 10min\n\n"


@dataclass(frozen=True)
class Case:
    """A client: where it lives and what it is, when it connects, and what becomes of it."""

    name: str
    place: str
    server: str = "inet"
    pool: bool = False
    before: bool = False         # connects before the daemons start
    idle: float | None = None    # asks when it has idled for so long; None: watches
    cut: bool = False            # its path is cut at CUT


@dataclass
class Observed:
    """What became of it; times are those of time.monotonic()."""

    opened: float = 0
    id: int = 0
    ends: Any = ()
    settings: Settings | None = None   # at START, if it was held or connected by then
    asked: float = 0
    outcome: Outcome | None = None     # of the first query after the idle time
    died: dict[str, Any] | None = None  # of one that watches
    packets: Sequence[float] = ()      # when any went through the firewall while it idled
    probes: Sequence[float] = ()
    server_probes: int = 0             # the server has a keepalive of its own, every two hours
    last_answer: float = 0             # the last packet that came from the server


class Story:
    """Runs all cases side by side, and keeps what was observed of them."""

    def __init__(self, cases: list[Case]) -> None:
        self.cases = cases
        self.seen = {case: Observed() for case in cases}
        self.world = World()
        os.makedirs("/tmp/story")
        self.server = mariadb.Server(self.world.server, DATABASE, "/tmp/story", PORT)
        self.groups = {place: Cgroup(place) for place in ("held", "lone")}
        self.daemons: dict[str, Daemon] = {}
        for name, group in self.groups.items():
            os.makedirs(f"/tmp/{name}")
            self.daemons[name] = Daemon(f"/tmp/{name}", group, f"/sys/fs/bpf/{name}")
        self.clients = {case: Client(self.world.places[case.place],
                                     self.groups.get(case.place.removeprefix("short-")),
                                     case.pool) for case in cases}
        self.began = 0.0
        self.starting = self.started = 0.0  # of the daemon that stays
        self.status: dict[str, Any] = {}

    def at(self, moment: float) -> float:
        """A moment of the night, as time.monotonic() has it."""
        return self.began + moment

    def open(self, cases: list[Case]) -> None:
        """Connects, one after the other."""
        for case in cases:
            client, seen = self.clients[case], self.seen[case]
            client.begin_open(SERVER[case.server], PORT)
            client.end_open()
            seen.opened, seen.id, seen.ends = time.monotonic(), client.id, client.ends
            seen.settings = client.settings

    def _start(self) -> None:
        self.starting = time.monotonic()
        self.started = self.daemons["held"].start(SELDOM + RULES)
        self.daemons["lone"].start(RULES)
        self.daemons["lone"].kill()
        self.open([case for case in self.cases if not case.before])
        for case in self.cases:
            if not self.seen[case].asked:
                self.seen[case].settings = self.clients[case].settings
            if case.idle is None:
                self.clients[case].begin_watch(10000)

    def _cut(self) -> None:
        self.world.hour.cut(*(self.seen[case].ends[0] for case in self.cases if case.cut))

    def _ask(self, case: Case) -> None:
        self.seen[case].asked = time.monotonic()
        self.clients[case].begin_query()

    def _status(self) -> None:
        for name, daemon in self.daemons.items():
            self.status[name] = Command(daemon.pin_dir).status()

    def run(self) -> None:
        """The whole night."""
        self.open([case for case in self.cases if case.before])
        self.began = min(self.seen[case].opened for case in self.cases if case.before)
        events: list[tuple[float, Callable[[], None]]] = [
            (START, self._start), (CUT, self._cut), (RESTART, self.daemons["lone"].start),
            (START + 2500, self._status)]
        for case in self.cases:
            if case.idle is not None:
                connected = 0 if case.before else START
                # What is cut asks right after that.
                moment = CUT + 1 if case.cut else connected + case.idle
                events.append((moment, lambda case=case: self._ask(case)))
        for moment, act in sorted(events, key=lambda event: event[0]):
            sleep_until(self.at(moment))
            act()
        for case in self.cases:
            if case.idle is None:
                self.seen[case].died = self.clients[case].end(20000)
            else:
                self.seen[case].outcome = self.clients[case].end_query(2000)
        for case in self.cases:
            self._capture(case)

    def _capture(self, case: Case) -> None:
        seen = self.seen[case]
        capture = self.world.capture(case.place)
        until = seen.asked or seen.died["at"] or time.monotonic()
        seen.probes = [at for at in capture.probes(*seen.ends) if at < until]
        seen.server_probes = sum(at < until for at in capture.probes(*reversed(seen.ends)))
        flow = [packet for packet in capture.flow(*seen.ends) if packet.at < until]
        # The last answer of the connecting is acknowledged a little later.
        seen.packets = [packet.at for packet in flow if packet.at >= seen.opened + 1]
        seen.last_answer = max(packet.at for packet in flow if packet.source == seen.ends[1])

    def logs(self) -> str:
        """What the daemons have logged."""
        return "".join(f"--- {name}\n{daemon.log}" for name, daemon in self.daemons.items())
