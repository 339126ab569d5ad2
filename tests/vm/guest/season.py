"""Sixty days: connections that idle from the first to the last, and others that come and go.

TCP's clocks wrap meanwhile: 2^31 ms are 24.8 days, 2^32 ms 49.7; jiffies wrap after 99 days, or 198
(at 250 Hz), which --days=200 reaches.

    every 6 hours   what `status` says is compared with what the firewall has seen
    every day       a reload; some connections close, others open
    every week      a server restarts; the daemon is upgraded, and on another day killed
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import tell

# pylint: disable=wrong-import-position
from harness.capture import Capture, Packet
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.options import held
from harness.sockets import Agent, Listener, Socket
from harness.topology import Topology
from harness.wait import sleep_until

from cases import calm
from measure import check, expect
from wheel import Wheel

DAY, WEEK = 86400, 7 * 86400
LOOK = DAY / 4
PORT, RESTARTED_PORT = 3306, 3307
TIME = 600
VALUES = held(TIME, 60, 5)
LASTING, PASSING = 6, 4  # connections to the server that stays; the latter for three days each
STAY = 3
SETTLED = 2 * DAY        # by then the daemon has all memory that it ever needs
RULES = (daemon_section(reconcile="10min") + rule("stays", port=PORT, window="1h")
         + rule("restarts", port=RESTARTED_PORT, window="1h"))
# What may be in the log. The end of a connection says how long it had no data.
QUIET = re.compile(
    r"ready: 2 rules in force|reloaded: 2 rules in force|took over what an earlier holdfastd left "
    r"in \S+|detached; \d+ connections? given back|stopped; .*")
END = re.compile(r"rule restarts: ([\d.]+):(\d+) to [\d.]+:3307, .*: closed by the server.* after "
                 r"([\d.]+) s without data.*")

Ends = tuple[tuple[str, int], tuple[str, int]]


@dataclass
class Connection:
    """A client's connection, and what the firewall has seen of it."""

    sock: Socket
    accepted: Socket
    ends: Ends
    opened: float
    data: float = 0
    last: float = 0                    # its last packet, in either direction
    due: tuple[float, float] | None = None  # what status has said of the next probe: when, and then
    told: list[str] = field(default_factory=list)  # what was wrong with that

    def ask(self) -> bool:
        """Whether data passes, both ways."""
        self.sock.send("?")
        asked = self.accepted.receive()
        self.accepted.send("!")
        answered = self.sock.receive()
        self.data = time.monotonic()
        return (asked, answered) == ("?", "!")


class Season:
    """Plays it."""

    def __init__(self, days: int) -> None:
        self._days = days
        self._wheel = Wheel()
        self._topology = Topology(3600)
        client = self._topology.add_client()
        cgroup = Cgroup("season")
        self._client = Agent(client, cgroup)
        self._capture = Capture(self._topology.firewall, "net1")
        self._server = Agent(self._topology.server)
        self._listener = self._server.listen(PORT)
        self._restarted: Agent = Agent(self._topology.server)
        self._other_listener: Listener = self._restarted.listen(RESTARTED_PORT)
        os.makedirs("/tmp/season")
        self.daemon = Daemon("/tmp/season", cgroup, "/sys/fs/bpf/season")
        self.lasting: list[Connection] = []
        self.passing: list[Connection] = []
        self.restarted: list[Connection] = []
        self.ended: dict[tuple[str, int], float] = {}  # by local end: how long it had no data
        self.faults: list[str] = []
        self.looks = 0
        self.memory: list[tuple[float, int, int]] = []  # age, anonymous memory in kB, descriptors
        self.began = 0.0

    @property
    def _open(self) -> list[Connection]:
        return [*self.lasting, *self.passing, *self.restarted]

    def _connect(self, port: int, listener: Listener) -> Connection:
        sock = self._client.connect(self._topology.address, port)
        accepted = listener.accept()
        info = sock.info
        now = time.monotonic()
        made = Connection(sock, accepted, (tuple(info["local"]), tuple(info["peer"])), now)
        if not made.ask():
            self.faults.append(f"{made.ends}: no answer right after connect()")
        return made

    def _say(self, fault: str) -> None:
        self.faults.append(f"day {(time.monotonic() - self.began) / DAY:.2f}: {fault}")

    def _hear(self, packets: list[Packet]) -> None:
        """Takes what the firewall has seen since the last look."""
        by_ends = {connection.ends: connection for connection in self._open}
        for packet in packets:
            ends = (packet.source, packet.target)
            connection = by_ends.get(ends) or by_ends.get(ends[::-1])
            if not connection:
                continue
            if connection.due and packet.at > connection.due[0]:
                said_at, due = connection.due
                latest = due + self._wheel.late(TIME) - TIME + 0.5  # as late as a timer of TIME
                # Data of the applications' own may come before the probe.
                if not due - 0.5 <= packet.at <= latest and packet.size <= 1 and (
                        packet.at < connection.data - 1 or packet.at > connection.data + 1):
                    self._say(f"{connection.ends}: a packet {packet.at - said_at:.1f} s after "
                              f"status had said {due - said_at:.1f} s")
                connection.due = None
            connection.last = packet.at

    def _compare(self) -> None:
        """Compares what status says with what the firewall has seen."""
        before = time.monotonic()
        status = Command(self.daemon.pin_dir).status()
        after = time.monotonic()
        self._hear(self._capture.take())
        rows = {(row["local"], row["local_port"]): row for row in status["sockets"]}
        known = {connection.ends[0]: connection for connection in self._open}
        if rows.keys() != known.keys():
            self._say(f"status has {sorted(rows.keys() ^ known.keys())} or lacks them")
        for local, row in rows.items():
            connection = known.get(local)
            if not connection:
                continue
            if row["verdict"] != "held" or row["time"] != TIME:
                self._say(f"{local}: {row['verdict']}, {row['time']}")
            if connection.last > before - 1:
                continue  # it was probed while status looked, before or after that
            if row["unanswered"]:
                self._say(f"{local}: {row['unanswered']} unanswered")
            if not before - 0.5 <= connection.last + row["idle"] <= after + 0.5:
                self._say(f"{local}: idle for {row['idle']} s, it says; the firewall has seen a "
                          f"packet {after - connection.last:.1f} s ago")
            if row["next_probe"] is None or not 0 <= row["next_probe"] <= self._wheel.late(TIME):
                self._say(f"{local}: the next probe in {row['next_probe']} s")
            else:
                connection.due = (after, before + row["next_probe"])
        self.looks += 1

    def _measure(self) -> None:
        with open(f"/proc/{self.daemon.pid}/status", encoding="ascii") as file:
            anonymous = int(re.search(r"^RssAnon:\s+(\d+) kB", file.read(), re.M)[1])
        descriptors = len(os.listdir(f"/proc/{self.daemon.pid}/fd"))
        self.memory.append((time.monotonic() - self.began, anonymous, descriptors))

    def _restart_server(self) -> None:
        """The connections to it end; new ones are opened."""
        now = time.monotonic()
        for connection in self.restarted:
            self.ended[connection.ends[0]] = now - connection.data
        self._restarted.close()
        time.sleep(2)
        for connection in self.restarted:
            connection.sock.close()
        self._restarted = Agent(self._topology.server)
        self._other_listener = self._restarted.listen(RESTARTED_PORT)
        self.restarted = [self._connect(RESTARTED_PORT, self._other_listener) for _ in range(2)]

    def _new_day(self, day: int) -> None:
        self.daemon.reload()
        for connection in self.passing[:-PASSING * (STAY - 1)]:
            if not connection.ask():
                self._say(f"{connection.ends}: no answer after {STAY} days")
            connection.sock.close()
            connection.accepted.close()
            self.passing.remove(connection)
        self.passing += [self._connect(PORT, self._listener) for _ in range(PASSING)]
        weekday = day % 7
        if weekday == 2:
            self._restart_server()
        elif weekday == 4:
            self.daemon.send_signal(signal.SIGUSR1)
            self.daemon.wait()
            self.daemon.start()
        elif weekday == 5:
            self.daemon.kill()
            self.daemon.start()

    def run(self) -> None:
        """From the first day to the last."""
        self.daemon.start(RULES)
        self.began = time.monotonic()
        self.lasting = [self._connect(PORT, self._listener) for _ in range(LASTING)]
        self.restarted = [self._connect(RESTARTED_PORT, self._other_listener) for _ in range(2)]
        looks = int(self._days * DAY / LOOK)
        for number in range(1, looks + 1):
            sleep_until(self.began + number * LOOK)
            self._compare()
            self._measure()
            day, rest = divmod(number * LOOK, DAY)
            if not rest and number < looks:
                self._new_day(int(day))
                if int(day) % 10 == 0:
                    print(f"day {int(day)}: {len(self.faults)} faults", flush=True)


def nothing(faults: list[str]) -> None:
    """No look found anything wrong."""
    expect(not faults, len(faults), "faults:\n", "\n".join(faults[:20]))


def alive(season: Season) -> None:
    """All that have idled since the first day answer; settings are the rule's, then their own."""
    for connection in season.lasting:
        expect(connection.sock.settings == VALUES, connection.sock.settings)
        expect(connection.ask(), connection.ends, "doesn't answer")


def flat(season: Season) -> None:
    """The daemon needs no more memory or descriptors than in the first days."""
    early = [entry for entry in season.memory if entry[0] <= SETTLED]
    late = [entry for entry in season.memory if entry[0] > SETTLED]
    for what, unit in ((1, "kB"), (2, "descriptors")):
        most, now = max(entry[what] for entry in early), max(entry[what] for entry in late)
        expect(now <= most * 1.1 + 64 * (what == 1), "from", most, "to", now, unit)


def true_log(season: Season) -> None:
    """No line in the log that isn't true."""
    told: dict[tuple[str, int], float] = {}
    for line in season.daemon.log.splitlines():
        end = END.fullmatch(line)
        if end:
            told[end[1], int(end[2])] = float(end[3])
        else:
            expect(QUIET.fullmatch(line), "an unexpected line:", line)
    expect(told.keys() == season.ended.keys(), "told of", told.keys(), "and not of",
           season.ended.keys())
    for local, seconds in told.items():
        expect(abs(seconds - season.ended[local]) < 3, local, "had no data for",
               season.ended[local], "s, and the log says", seconds)


def main() -> int:
    """Returns 0 where all is well."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=60)
    options = parser.parse_args(tell.arguments())
    season = Season(options.days)
    try:
        season.run()
    finally:
        print(season.daemon.log[-20000:], flush=True)
    results = [check("what status says is what the firewall sees", lambda: nothing(season.faults)),
               check("what has idled from the first day on answers", lambda: alive(season)),
               check("memory and descriptors are flat", lambda: flat(season)),
               check("every line of the log is true", lambda: true_log(season))]
    season.daemon.stop()
    messages = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    results.append(check("no kernel warning", lambda: calm(messages)))
    first, last = season.memory[0], season.memory[-1]
    tell.note(f"{os.uname().release}: {options.days} days, {season.looks} looks at "
              f"{len(season.lasting)} lasting and more passing connections; the daemon's memory "
              f"{first[1]} to {last[1]} kB, descriptors {first[2]} to {last[2]}; "
              f"{len(season.ended)} ends told")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
