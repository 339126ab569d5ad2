"""A night of pools behind paths whose windows nobody knows: what `window = auto` makes of them.

Every pool has a rule of its own, without a window, and a firewall of its own:

    pool ── firewall, forgets after so many seconds ──┐
    pool ── firewall, forgets after so many seconds ──┼── server
    ...                                               ┘

    0 s        the daemon starts, then the pools
    7200 s     accidents begin, of which nothing is to be learned; the clock is set forward
    14400 s    a path's window shrinks
    18000 s    the daemon is restarted as by an upgrade
    19000 s    it is killed, and starts again
    28800 s    a rule's text changes; the daemon stops
"""

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable

import tell

# pylint: disable=wrong-import-position
from harness import mariadb
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.topology import Topology
from harness.wait import sleep_until

from cases import calm
from measure import DATABASE, PORT, Restarting, check, expect
from pool import Pool, Use

NIGHT, ACCIDENTS, SHRINK, UPGRADE, CRASH = 28800, 7200, 14400, 18000, 19000
TIME, INTERVAL, PROBES = 200, 20, 5   # of a rule without a window
STEPS = (TIME, 120, 60, 30, 15)
EPISODE = 600                         # what is forgotten within so many seconds is one episode
STEP_MOST = 2                         # episodes that a step may take
LOOK = 60                             # seconds between two looks at the log
IDLE_PORT, RESTARTED_PORT, FAILING_PORT = 3307, 3308, 3309
WAIT_TIMEOUT = 100
SHORTER = re.compile(r"rule (\S+): the path forgets connections that idle for [\d.]+ s .*"
                     r"keepalive time is (\d+) s now")
# Before connection tracking, which sees as little of what is lost as the other end.
_OUTAGE = """
table inet outage {
    chain prerouting {
        type filter hook prerouting priority -300; policy drop;
    }
}
"""


@dataclass
class Path:
    """A pool, its rule and its firewall."""

    name: str
    window: int
    use: Use
    port: int
    settles_at: int           # the keepalive time that it ends up with
    told: str = ""            # of its losses, in the log
    loses: bool = False       # connections, by an accident
    topology: Topology = field(init=False)
    pool: Pool = field(init=False)
    steps: list[tuple[float, int]] = field(default_factory=list)  # when, and to which time

    def lost(self) -> list[dict[str, Any]]:
        """What its pool has lost."""
        return [event for event in self.pool.events if event["kind"] == "lost"]

    def uses(self) -> int:
        """How many connections it has opened."""
        return sum(event["kind"] == "opened" for event in self.pool.events)


def paths() -> list[Path]:
    """All of them."""
    some = [Path(f"w{window}", window, Use(seed=window), PORT, settles_at)
            for window, settles_at in ((60, 30), (120, 60), (240, TIME), (350, TIME),
                                       (3600, TIME))]
    some += [
        Path("together", 120, Use(pause=(250, 1500), together=True, seed=7), PORT, 60),
        Path("shrinks", 3600, Use(seed=8), PORT, 60),
        Path("restart", 3600, Use(seed=9), RESTARTED_PORT, TIME, "closed by the server", True),
        Path("failover", 3600, Use(seed=10), FAILING_PORT, TIME, "reset", True),
        Path("outage", 3600, Use(seed=11), PORT, TIME, "keepalive gave up", True),
        Path("long-outage", 3600, Use(seed=12), PORT, TIME, "keepalive gave up", True),
        Path("idlers", 3600, Use(seed=13), IDLE_PORT, TIME, "wait_timeout", True),
        Path("leaver", 3600, Use(lifetime=250, seed=14), PORT, TIME),
    ]
    return some


class Night:
    """Plays it."""

    def __init__(self, length: float) -> None:
        self._length = length
        self.server = Netns()
        os.makedirs("/tmp/windows/idle")
        self._servers = [
            mariadb.Server(self.server, DATABASE, "/tmp/windows", PORT),
            mariadb.Server(self.server, DATABASE, "/tmp/windows/idle", IDLE_PORT,
                           [f"--wait-timeout={WAIT_TIMEOUT}"])]
        self.restarting = Restarting(self.server, "/tmp/windows/restarting", RESTARTED_PORT)
        self.failing = Restarting(self.server, "/tmp/windows/failing", FAILING_PORT)
        self.paths = {path.name: path for path in paths()}
        for number, path in enumerate(self.paths.values()):
            path.topology = Topology(path.window, number, self.server)
        self.server.sysctl("ipv4/tcp_orphan_retries", 1)
        self.cgroup = Cgroup("windows")
        os.makedirs("/tmp/windows/daemon")
        self.daemon = Daemon("/tmp/windows/daemon", self.cgroup, "/sys/fs/bpf/windows")
        self.config = "".join(rule(path.name, path.topology.address, path.port)
                              for path in self.paths.values())
        self._read = 0
        self.status: dict[str, dict[str, Any]] = {}
        self.status_changed: dict[str, dict[str, Any]] = {}
        self.times: list[dict[str, int]] = []  # before and after each restart
        self.began = 0.0

    def _look(self) -> None:
        text = self.daemon.log[self._read:]
        self._read += len(text)
        for name, to in SHORTER.findall(text):
            self.paths[name].steps.append((time.monotonic(), int(to)))

    def _rules(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in Command(self.daemon.pin_dir).status()["rules"]}

    def _outage(self, name: str) -> None:
        self.paths[name].topology.firewall.nft(_OUTAGE)

    def _end_outage(self, name: str) -> None:
        self.paths[name].topology.firewall.nft("delete table inet outage")

    def _note_times(self) -> None:
        self.times.append({name: row["time"] for name, row in self._rules().items()})

    def _upgrade(self) -> None:
        self._note_times()
        self.daemon.send_signal(signal.SIGUSR1)
        self.daemon.wait()
        self.daemon.start()
        self._note_times()

    def _crash(self) -> None:
        self.daemon.kill()
        self.daemon.start()
        self._note_times()

    def events(self) -> dict[float, Callable[[], object]]:
        """What happens when, in seconds after the start."""
        at = ACCIDENTS
        return {
            at: self.restarting.restart,
            at + 100: lambda: time.clock_settime(time.CLOCK_REALTIME, time.time() + 7200),
            # A failover: the one that takes over knows nothing of the connections.
            at + 200: lambda: self._outage("failover"), at + 201: self.failing.restart,
            at + 260: lambda: self._end_outage("failover"),
            at + 300: lambda: self._outage("outage"),
            at + 300 + 600: lambda: self._end_outage("outage"),
            at + 310: lambda: self._outage("long-outage"),
            at + 310 + 3600: lambda: self._end_outage("long-outage"),
            SHRINK: lambda: self.paths["shrinks"].topology.remember(100),
            UPGRADE: self._upgrade, CRASH: self._crash,
        }

    def run(self) -> None:
        """From start to stop."""
        self.daemon.start(self.config)
        self.began = time.monotonic()
        for path in self.paths.values():
            path.pool = Pool(path.topology.add_client(), self.cgroup, path.topology.address,
                             path.port, path.use, f"/tmp/windows/{path.name}.events")
        looks = [(float(at), lambda: None) for at in range(LOOK, int(self._length), LOOK)]
        for at, act in sorted([*self.events().items(), *looks], key=lambda event: event[0]):
            if at >= self._length:
                break
            sleep_until(self.began + at)
            act()
            self._look()
        sleep_until(self.began + self._length)
        self._look()
        self.status = self._rules()
        for path in self.paths.values():
            path.pool.close()
        self.daemon.reload(self.config.replace("\n\n", "\nprobes = 4\n\n"))
        self.status_changed = self._rules()
        self.daemon.stop()


def episodes(moments: list[float]) -> int:
    """How many there are."""
    moments = sorted(moments)
    return sum(1 for before, at in zip([-EPISODE, *moments], moments) if at - before >= EPISODE)


class Checks:
    """What has to hold of a night."""

    def __init__(self, night: Night) -> None:
        self._night = night

    def settled(self, path: Path) -> None:
        """It ends up with the right time, loses little on the way there, and nothing after
        that."""
        row = self._night.status[path.name]
        expect(row["time"] == path.settles_at, "its time is", row["time"], row["path"])
        wanted = [step for step in STEPS[1:] if step >= path.settles_at]
        expect([to for _, to in path.steps] == wanted, "its steps:", path.steps)
        begin = self._night.began
        for at, to in [*path.steps, (float("inf"), 0)]:
            lost = [event["at"] for event in path.lost() if begin <= event["at"] < at]
            most = STEP_MOST if to else 0
            if not path.loses:
                expect(episodes(lost) <= most, "before the step to", to, "lost at",
                       [round(moment - self._night.began) for moment in lost])
            begin = at
        if path.window >= 240 and path.name != "shrinks":
            expect(not path.steps, path.steps)

    def survived(self, path: Path) -> None:
        """What has been survived is shown."""
        shown = self._night.status[path.name]["path"]
        expect(shown["survived_count"] > 0, shown)
        expect(shown["survived"] < path.window + 1, shown)
        if path.settles_at < TIME:
            expect(shown["forgotten"] >= path.topology.window, shown)

    def accident(self, path: Path) -> None:
        """It lost connections, which the log tells, and took new ones; nothing was learned."""
        lost = path.lost()
        expect(len(lost) >= path.use.size, "lost", len(lost))
        opened = [event["at"] for event in path.pool.events if event["kind"] == "opened"]
        expect(max(opened) > max(event["at"] for event in lost[:path.use.size]), "no new ones")
        expect(not path.steps, path.steps)
        lines = [line for line in self._night.daemon.log.splitlines()
                 if f"{path.topology.address}:{path.port}" in line and path.told in line]
        expect(lines, f"no line says {path.told!r}:\n", "\n".join(
            line for line in self._night.daemon.log.splitlines()
            if f"{path.topology.address}:" in line)[:2000])

    def shrunk(self) -> None:
        """Nothing is learned before it shrinks, or soon after."""
        path = self._night.paths["shrinks"]
        first = path.steps[0][0] - self._night.began
        expect(SHRINK + EPISODE <= first <= SHRINK + 3600, "learned after", round(first))

    def kept(self) -> None:
        """Restart and crash lose nothing that was learned."""
        before, *after = self._night.times
        for times in after:
            for name, learned in before.items():
                expect(times[name] <= learned, name, "was", learned, "and is", times[name])
        expect(len(after) == 2, len(after))

    def dropped(self) -> None:
        """Another text of the rule begins anew."""
        for name, row in self._night.status_changed.items():
            expect(row["time"] == TIME and row["path"]["survived"] is None, name, row["time"])

    def nothing_left(self) -> None:
        """The stop leaves no pin."""
        expect(not os.path.exists(self._night.daemon.pin_dir), "the pin dir is still there")


def row(night: Night, path: Path) -> str:
    """A line of the table: what became of a path."""
    settled = path.steps[-1][0] if path.steps else night.began
    lost = [event["at"] for event in path.lost()]
    after = [at for at in lost if at > settled]
    shown = night.status[path.name]["path"]
    return (f"{path.name:12} window {path.topology.window:4} s: time {TIME} to "
            f"{night.status[path.name]['time']} s in {settled - night.began:5.0f} s; lost "
            f"{len(lost) - len(after)} in {episodes([at for at in lost if at <= settled])} episodes "
            f"before, {len(after)} after; {path.uses()} connections; survived "
            f"{shown['survived']} s ({shown['survived_count']}), forgotten {shown['forgotten']} s "
            f"({shown['forgotten_count']})")


def main() -> int:
    """Returns 0 where all is well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--night", type=float, default=NIGHT, help="its length, in seconds")
    options = parser.parse_args(tell.arguments())
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    os.makedirs("/tmp/windows")
    night = Night(options.night)
    try:
        night.run()
    finally:
        print(night.daemon.log, flush=True)
    for path in night.paths.values():
        tell.note(row(night, path))
    checks = Checks(night)
    results = []
    for path in night.paths.values():
        results.append(check(f"{path.name}: settles", lambda path=path: checks.settled(path)))
        if path.loses:
            results.append(check(f"{path.name}: nothing is learned of the accident",
                                 lambda path=path: checks.accident(path)))
        if path.name != "idlers":
            results.append(check(f"{path.name}: told", lambda path=path: checks.survived(path)))
    results += [check("shrinks: learned in time", checks.shrunk),
                check("upgrade and crash keep what was learned", checks.kept),
                check("another text of a rule drops it", checks.dropped),
                check("nothing is left", checks.nothing_left)]
    messages = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    results.append(check("no kernel warning", lambda: calm(messages)))
    tell.note(f"{os.uname().release}: {time.monotonic() - night.began:.0f} s of guest time")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
