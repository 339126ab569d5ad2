"""The night: every connection of every case in it, asked again after its idle time.

    0 s        controls and existing connections connect
    3000 s     the daemons start; one of them is killed at once; the others connect
    3100 s     some paths are cut
    4000 s     the first are asked, after 4000 s
    12000 s    a daemon is upgraded to another version
    16000 s    and to one with another layout of what is pinned
    20000 s    the daemon that was killed starts again
    31000 s    the last are asked, after 28000 s; the daemons stop
"""

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Sequence

from harness import bpf, mariadb
from harness.cgroup import Cgroup
from harness.command import Command
from harness.compiler import prebuilt
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.mysql import Outcome
from harness.options import Settings, held
from harness.wait import sleep_until

import plain
from features import Features, look
from clients import Client
from count import Count
from wheel import Wheel
from world import PORT, SERVER, World

START, CUT, UPGRADE, RELAYOUT, RESTART = 3000, 3100, 12000, 16000, 20000
DATABASE = "/var/lib/holdfast-mariadb"
WAIT_TIMEOUT = 28800  # MariaDB's own: what idles longer is closed by the server
RULES = (rule("everywhere", port=f"{PORT}, {plain.PORT}", window="1h")
         + rule("impatient", SERVER["impatient"], PORT, window="1h", time="60s",
                interval="10s", probes=5,
                user_timeout="120s")
         + rule("prompt", SERVER["prompt"], PORT, window="1h", time="15s", interval="1s", probes=5)
         + rule("served", port=PORT + 1, side="server", window="1h", time="500s"))
# Each pass wakes the machine up. One daemon has the default period.
SELDOM = daemon_section(reconcile="10min")


@dataclass(frozen=True)
class Case:
    """A client: its place and kind, when it connects, and what happens to its connection."""

    name: str
    place: str
    server: str = "inet"
    kind: str = "connection"     # of clients.APPLICATIONS
    before: bool = False         # connects before the daemons start
    idle: float | None = None    # seconds until it asks; None: it watches
    cut: bool = False            # its path is cut at CUT


@dataclass
class Observed:
    """What was seen of a case; times are those of time.monotonic()."""

    opened: float = 0
    id: int = 0
    ends: Any = ()
    settings: Settings | None = None   # at START, if it was held or connected by then
    asked: float = 0
    outcome: Outcome | None = None     # of the first query after the idle time
    died: dict[str, Any] | None = None  # of a case that watches
    packets: Sequence[float] = ()      # times of its packets through the firewall while it idled
    probes: Sequence[float] = ()
    server_probes: int = 0             # the server's own keepalive probes, every two hours
    last_answer: float = 0             # time of the last packet from the server
    counted: tuple[int, int] = (0, 0)  # by the firewall while it idled: sent by client, by server
    given_back: Settings | None = None  # after the daemons' stop


@dataclass
class Look:
    """What is attached for the upgraded place at one moment."""

    pins: list[str]
    link: bpf.Link
    status: dict[str, Any]


@dataclass
class Story:
    """Runs all cases side by side, and keeps what was seen of them."""

    cases: list[Case]
    window: int  # of the firewall that forgets sooner, in seconds
    seen: dict[Case, Observed] = field(init=False)
    began: float = 0
    starting: float = 0  # the moment of the daemons' start
    started: dict[str, float] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    features: Features = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wheel = Wheel()
        self.seen = {case: Observed() for case in self.cases}
        self.world = World(self.window)
        self.rules = RULES + rule("short", "10.78.0.0/16", PORT, window=f"{self.window}s")
        os.makedirs("/tmp/story")
        longest = max(case.idle or 0 for case in self.cases)
        patience = [f"--wait-timeout={int(longest) + 1000}"] if longest >= WAIT_TIMEOUT else []
        self.server = mariadb.Server(self.world.server, DATABASE, "/tmp/story", PORT, patience)
        self.other_server = plain.start(self.world.server)
        self.groups = {place: Cgroup(place) for place in ("held", "lone", "upgraded")}
        self.daemons: dict[str, Daemon] = {}
        for name, group in self.groups.items():
            os.makedirs(f"/tmp/{name}")
            self.daemons[name] = Daemon(f"/tmp/{name}", group, f"/sys/fs/bpf/{name}")
        self.clients = {case: Client(self.world.places[case.place],
                                     self.groups.get(case.place.removeprefix("short-")),
                                     kind=case.kind) for case in self.cases}
        self._bases: dict[Case, tuple[int, int]] = {}

    def open(self, cases: list[Case]) -> None:
        """Opens the connections one after the other, and notes the firewalls' counts after that."""
        for case in cases:
            client, seen = self.clients[case], self.seen[case]
            client.begin_open(SERVER[case.server], PORT)
            client.end_open()
            seen.opened, seen.id, seen.ends = time.monotonic(), client.id, client.ends
            seen.settings = client.settings
        time.sleep(1)  # the last answer is acknowledged with a delay
        counts = {firewall: Count(firewall) for firewall in (self.world.hour, self.world.short)}
        for case in cases:
            count = counts[self.world.firewall(case.place)]
            self._bases[case] = count.between(*self.seen[case].ends)

    def _start(self) -> None:
        self.starting = time.monotonic()
        for name in ("held", "upgraded"):
            self.started[name] = self.daemons[name].start(SELDOM + self.rules)
        self.started["lone"] = self.daemons["lone"].start(self.rules)
        self.daemons["lone"].kill()
        self.open([case for case in self.cases if not case.before])
        for case in self.cases:
            if not self.seen[case].asked:
                self.seen[case].settings = self.clients[case].settings
            if case.idle is None:
                self.clients[case].begin_watch(10000)
        self._look()
        self.features = look(
            self.daemons["held"], self.world.places["held"], port=PORT, served=PORT + 1,
            served_values=held(500, 50, 5), probed="prompt")

    def _cut(self) -> None:
        self.world.hour.cut(*(self.seen[case].ends[0] for case in self.cases if case.cut))

    def _ask(self, cases: list[Case]) -> None:
        """Has all cases ask at once. First notes the firewalls' counts, at a moment without
        traffic."""
        for firewall in {self.world.firewall(case.place) for case in cases}:
            behind = [case for case in cases if self.world.firewall(case.place) is firewall]
            while True:
                asked, count = time.monotonic(), Count(firewall)
                after = [packet for capture in firewall.captures.values()
                         for packet in capture.packets() if packet.at >= asked]
                if not after:
                    break
            for case in behind:
                seen = self.seen[case]
                seen.asked = asked
                numbers, base = count.between(*seen.ends), self._bases[case]
                seen.counted = (numbers[0] - base[0], numbers[1] - base[1])
            for case in behind:
                self.clients[case].begin_query()

    def _status(self) -> None:
        for name, daemon in self.daemons.items():
            self.status[name] = Command(daemon.pin_dir).status()

    def _look(self) -> None:
        daemon = self.daemons["upgraded"]
        pins = os.listdir(daemon.pin_dir)
        link = bpf.pinned_link(os.path.join(daemon.pin_dir, max(pins), "hf_sockops"))
        status = Command(daemon.pin_dir, daemon.build_dir).status()
        self.looks.append(Look(pins, link, status))

    def _upgrade(self, build: str) -> None:
        """Restarts a daemon with another build, as a package does by the unit's
        RestartKillSignal=."""
        daemon = self.daemons["upgraded"]
        daemon.send_signal(signal.SIGUSR1)
        daemon.wait()
        daemon.build_dir = prebuilt(build)
        assert daemon.build_dir, f"there is no {build} in HF_PREBUILT"
        daemon.start()
        self._look()

    def run(self) -> None:
        """Plays the whole night."""
        self.open([case for case in self.cases if case.before])
        self.began = min(self.seen[case].opened for case in self.cases if case.before)
        events: dict[float, Callable[[], None]] = {
            START: self._start, CUT: self._cut, START + 2500: self._status,
            UPGRADE: lambda: self._upgrade("version"), RELAYOUT: lambda: self._upgrade("layout"),
            RESTART: self.daemons["lone"].start}
        asking: dict[float, list[Case]] = {}
        for case in self.cases:
            if case.idle is not None:
                connected = 0 if case.before else START
                # A case whose path is cut asks right after the cut.
                moment = CUT + 1 if case.cut else connected + case.idle
                asking.setdefault(moment, []).append(case)
        events |= {moment: lambda cases=cases: self._ask(cases) for moment, cases in asking.items()}
        for moment, act in sorted(events.items()):
            sleep_until(self.began + moment)
            act()
        for case in self.cases:
            if case.idle is None:
                self.seen[case].died = self.clients[case].end(20000)
            else:
                self.seen[case].outcome = self.clients[case].end_query(2000)
        for case in self.cases:
            self._capture(case)
        for daemon in self.daemons.values():
            daemon.stop()
        for case in self.cases:
            if self.seen[case].outcome and self.seen[case].outcome.error is None:
                self.seen[case].given_back = self.clients[case].settings

    def _capture(self, case: Case) -> None:
        seen = self.seen[case]
        capture = self.world.capture(case.place)
        until = seen.asked or seen.died["at"] or time.monotonic()
        seen.probes = [at for at in capture.probes(*seen.ends) if at < until]
        seen.server_probes = sum(at < until for at in capture.probes(*reversed(seen.ends)))
        flow = [packet for packet in capture.flow(*seen.ends) if packet.at < until]
        # The last answer before the idle time is acknowledged with a delay.
        seen.packets = [packet.at for packet in flow if packet.at >= seen.opened + 1]
        seen.last_answer = max(packet.at for packet in flow if packet.source == seen.ends[1])

    def logs(self) -> str:
        """Returns what the daemons have logged."""
        return "".join(f"--- {name}\n{daemon.log}" for name, daemon in self.daemons.items())
