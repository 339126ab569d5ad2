"""Measures paths whose windows are known with `holdfast measure`, unscaled, with MariaDB's client.

All measurements go side by side, each through a firewall of its own, most to one server:

    client ── firewall, forgets after so many seconds ──┐
    client ── firewall, forgets after so many seconds ──┼── server
    ...                                                 ┘
"""

import json
import os
import re
import resource
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

import tell

# pylint: disable=wrong-import-position
from harness import build, mariadb
from harness.netns import Netns
from harness.process import spawn
from harness.topology import DEVICE, Topology

from cases import calm

DATABASE = "/var/lib/holdfast-mariadb"
PORT, SHORT_PORT, RESTARTED_PORT = 3306, 3307, 3308
WINDOWS = (60, 240, 350, 600, 900, 3600)
RESOLUTION = 0.05
GRACE = 0.3        # seconds: conntrack's and the kernel's ticks
EARLY = 1.0        # seconds: so late a packet may be while the machine starts other clients
WAIT_TIMEOUT = 500
STAGGER = 20       # seconds between the starts, since a client has to connect within 10 s
OUTAGE = 600
LIMIT = 100000     # seconds: something hangs
SERVERS = "10.200.0.1"  # an address of the server that is the same by every firewall

_REJECT = """
table inet firewall {
    chain forward {
        meta l4proto tcp reject with tcp reset
    }
}
"""
_MASQUERADE = """
table ip nat {
    chain out {
        type nat hook postrouting priority 100;
        oifname "net0" masquerade
    }
}
"""
# Before connection tracking, which sees as little of what is lost as the other end.
_OUTAGE = """
table inet outage {
    chain prerouting {
        type filter hook prerouting priority -300; policy drop;
    }
}
"""


@dataclass
class Case:
    """One measurement: from where, to where, and what is to come out."""

    name: str
    netns: Netns
    address: str
    window: float                     # of the path
    how: str = "silence"
    port: int = PORT
    options: Sequence[str] = ("-J",)
    events: Mapping[float, Callable[[], object]] = field(default_factory=dict)
    check: "Callable[[Case], None] | None" = None  # None: found()
    process: Any = None
    began: float = 0
    ended: float = 0

    @property
    def _files(self) -> tuple[str, str]:
        name = re.sub(r"\W", "-", self.name)
        return f"/tmp/measure/{name}.out", f"/tmp/measure/{name}.err"

    def start(self) -> None:
        """Starts to measure."""
        self.began = time.monotonic()
        with open(self._files[0], "wb") as out, open(self._files[1], "wb") as err:
            self.process = spawn(
                [build.HOLDFAST, "measure", *self.options, f"{self.address}:{self.port}", "--",
                 "mariadb", "--no-defaults", "-h", self.address, "-P", str(self.port),
                 f"-u{mariadb.USER}", f"-p{mariadb.PASSWORD}"], self.netns,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def said(self) -> tuple[str, str]:
        """What it wrote: its output, and its complaints."""
        texts = []
        for path in self._files:
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
        return texts[0], texts[1]


def expect(holds: object, *what: object) -> None:
    """AssertionError that says what was seen instead."""
    assert holds, " ".join(map(str, what))


def check_range(case: Case, low: float, high: float) -> None:
    """The window lies in the range, and the range is as narrow as was asked for."""
    expect(low <= case.window + GRACE, low, "is more than", case.window)
    expect(high >= case.window - EARLY, high, "is less than", case.window)
    expect(high <= low * (1 + RESOLUTION) + GRACE, low, high, "are too far apart")


def found(case: Case) -> None:
    """It has found the window."""
    out, err = case.said
    expect(case.process.returncode == 0, case.process.returncode, err, out[-500:])
    said = json.loads(out)
    expect(said["forgotten"] is True and said["how"] == case.how, said["forgotten"], said["how"])
    try:
        check_range(case, said["longer_than"], said["at_most"])
    except AssertionError as error:
        raise AssertionError(f"{error}: {said['connections']}") from None
    expect(said["window"] == int(said["longer_than"]), said["window"])


def found_after_all(case: Case) -> None:
    """It has found the window, and a round didn't count."""
    found(case)
    outcomes = [connection["outcome"] for connection in json.loads(case.said[0])["connections"]]
    expect("void" in outcomes, "every round counted:", outcomes)


def looks_like(case: Case) -> None:
    """It says in words which clouds forget so."""
    out, err = case.said
    expect(case.process.returncode == 0, case.process.returncode, err, out)
    told = re.search(r"^forgotten after more than ([\d.]+) s and at most ([\d.]+) s, without a "
                     r"word \(350 s: [^;]*AWS Network Load Balancer", out, re.M)
    expect(told, out)
    check_range(case, float(told[1]), float(told[2]))
    expect(out.splitlines()[-1] == f"window = {int(float(told[1]))}s", out.splitlines()[-1])


def mixed(case: Case) -> None:
    """It says that not all were forgotten, and takes the shortest."""
    out, err = case.said
    expect(case.process.returncode == 0, case.process.returncode, err, out)
    told = re.search(r"^forgotten after more than ([\d.]+) s and at most ([\d.]+) s, without a "
                     r"word.*; not the same for all: of \d+ connections that idled for longer "
                     r"than [\d.]+ s (\d+) lived", out, re.M)
    expect(told, out)
    check_range(case, float(told[1]), float(told[2]))
    expect(int(told[3]) > 0, out)


def closed_by_server(case: Case) -> None:
    """It tells the server's own timeout from the path's."""
    out, err = case.said
    expect(case.process.returncode == 4, case.process.returncode, err, out)
    said = json.loads(out)
    expect(said["forgotten"] is None and said["how"] is None, said)
    expect("wait_timeout" in err, err)
    after = re.search(r"idle for (\d+) s", err)
    expect(after and WAIT_TIMEOUT - 1 <= int(after[1]) <= WAIT_TIMEOUT + 5, err)
    expect(said["longer_than"] is not None and said["longer_than"] < WAIT_TIMEOUT, said)


class Restarting:
    """A MariaDB that can be restarted."""

    def __init__(self, netns: Netns, directory: str, port: int) -> None:
        self._netns, self._directory, self._port, self._starts = netns, directory, port, 0
        self.start()

    def start(self) -> None:
        """Starts it anew."""
        self._starts += 1
        folder = os.path.join(self._directory, str(self._starts))
        os.makedirs(folder)
        self._server = mariadb.Server(self._netns, DATABASE, folder, self._port)

    def restart(self) -> None:
        """Ends all of its connections, as a restart of the service does."""
        self._server.close()
        self.start()


class World:
    """One server, and firewalls before it."""

    def __init__(self) -> None:
        self.server = Netns()
        self.server.add_address(f"{SERVERS}/32")
        self.firewalls: list[Topology] = []

    def firewall(self, window: int, *rulesets: str) -> Topology:
        """Makes one."""
        made = Topology(window, len(self.firewalls), self.server)
        for ruleset in rulesets:
            made.firewall.nft(ruleset)
        self.firewalls.append(made)
        return made

    def path(self, window: int, *rulesets: str) -> tuple[Netns, str]:
        """Makes a client behind a firewall of its own. Returns it and the server's address."""
        made = self.firewall(window, *rulesets)
        return made.add_client(), made.address

    def two_in_a_row(self, first: int, second: int) -> tuple[Netns, str]:
        """Makes a client behind two firewalls, and a router between these."""
        outer = self.firewall(second)
        router = outer.add_client()
        router.sysctl("ipv4/ip_forward", 1)
        router.nft(_MASQUERADE.replace("net0", DEVICE))
        inner = Topology(first, len(self.firewalls), router)
        self.firewalls.append(inner)
        inner.firewall.ip(f"route add default via {inner.address}")
        return inner.add_client(), outer.address

    def two_ways(self, one: int, other: int) -> tuple[Netns, str]:
        """Makes a client with two ways to the server, by two firewalls; ports tell which."""
        first, second = self.firewall(one, _MASQUERADE), self.firewall(other, _MASQUERADE)
        client = first.add_client()
        ends = [first.ends(1), second.add_way(client, "other")]
        for firewall in (first, second):
            firewall.firewall.ip(f"route add {SERVERS} via {firewall.address}")
        # The kernel chooses the source address before the port, so that each firewall meets both.
        first.firewall.ip(f"route add {ends[1][0]} via {ends[0][0]}")
        second.firewall.ip(f"route add {ends[0][0]} via {ends[1][0]}")
        client.sysctl("ipv4/fib_multipath_hash_policy", 1)
        client.ip(f"route add {SERVERS} nexthop via {ends[0][1]} nexthop via {ends[1][1]}")
        return client, SERVERS


def cases(world: World, restarting: Restarting) -> list[Case]:
    """All measurements."""
    some = []
    for window in WINDOWS:
        shorter = ("--from", "20s") if window == 60 else ()
        some += [Case(f"{window} s, silent", *world.path(window), window,
                      options=("-J", *shorter)),
                 Case(f"{window} s, reset", *world.path(window, _REJECT), window, "reset",
                      options=("-J", *shorter))]
    failing = world.firewall(900)
    some += [
        Case("350 s, in words", *world.path(350), 350, options=(), check=looks_like),
        Case("NAT, 350 s", *world.path(350, _MASQUERADE), 350),
        Case("firewalls of 240 s and 900 s", *world.two_in_a_row(240, 900), 240),
        Case("firewalls of 900 s and 240 s", *world.two_in_a_row(900, 240), 240),
        Case("two ways, 240 s and 900 s", *world.two_ways(240, 900), 240, options=(),
             check=mixed),
        Case("900 s, link fails for ten minutes", failing.add_client(), failing.address, 900,
             events={1000: lambda: failing.firewall.nft(_OUTAGE),
                     1000 + OUTAGE: lambda: failing.firewall.nft("delete table inet outage")},
             check=found_after_all),
        Case("600 s, server restarts", *world.path(600), 600, port=RESTARTED_PORT,
             events={200: restarting.restart}, check=found_after_all),
        Case("server closes idlers", *world.path(3600), WAIT_TIMEOUT, port=SHORT_PORT,
             check=closed_by_server),
    ]
    return some


def run(some: list[Case]) -> None:
    """Starts all one after the other, and waits until the last has ended."""
    start = time.monotonic()
    events: list[tuple[float, Callable[[], object]]] = []
    for number, case in enumerate(some):
        at = start + number * STAGGER
        events.append((at, case.start))
        events += [(at + after, act) for after, act in case.events.items()]
    events.sort(key=lambda event: event[0])
    poll, waiting = select.poll(), {}
    while events or waiting:
        now = time.monotonic()
        expect(now < start + LIMIT, "not ended:", ", ".join(case.name for case in waiting.values()))
        if events and events[0][0] <= now:
            _, act = events.pop(0)
            act()
            for case in some:
                if case.process and not case.ended and case not in waiting.values():
                    descriptor = os.pidfd_open(case.process.pid)
                    waiting[descriptor] = case
                    poll.register(descriptor, select.POLLIN)
            continue
        due = events[0][0] if events else start + LIMIT
        for descriptor, _ in poll.poll(max(0, due - now) * 1000 + 1):
            case = waiting.pop(descriptor)
            poll.unregister(descriptor)
            os.close(descriptor)
            case.process.wait()
            case.ended = time.monotonic()


def command(pid: str) -> str:
    """Returns the name of a process; '' where it has gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def nothing_left(server: Netns, client: Netns, address: str) -> None:
    """No command is left, and the server saw nobody leave without a word."""
    left = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if command(pid) == "mariadb"]
    expect(not left, "still there:", left)
    shown = client.run("mariadb", "--no-defaults", "-h", address, f"-u{mariadb.USER}",
                       f"-p{mariadb.PASSWORD}", "-Ne", "SHOW GLOBAL STATUS LIKE 'Aborted_connects'")
    expect(shown.split() == ["Aborted_connects", "0"], shown)
    open_ones = server.run("ss", "-Htn", "state", "established", f"sport = :{PORT}")
    # What was forgotten in silence stays with the server until it gives up by itself.
    expect(len(open_ones.splitlines()) < 200, open_ones)


def check(name: str, holds: Callable[[], None]) -> bool:
    """Runs a check and tells the host its result. Returns whether it passed."""
    try:
        holds()
    except Exception as error:  # pylint: disable=broad-except
        tell.case(name, f"{type(error).__name__}: {error}")
        return False
    tell.case(name)
    return True


def row(case: Case) -> str:
    """A line of the table: what was measured."""
    out, err = case.said
    begin = f"{case.name:34} {case.ended - case.began:6.0f} s"
    if "-J" not in case.options:
        return f"{begin}   {out.splitlines()[-2] if out else err.strip()}"
    try:
        said = json.loads(out)
    except ValueError:
        return f"{begin}   {err.strip()}"
    outcomes = [connection["outcome"] for connection in said["connections"]]
    return (f"{begin}   {said['longer_than']} to {said['at_most']} s, {said['how']}, "
            f"{len(outcomes)} connections, {outcomes.count('void')} of them void")


def main() -> int:
    """Returns 0 where all is well."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    os.makedirs("/tmp/measure")
    world = World()
    more = ["--max-connections=2000"]
    servers = [mariadb.Server(world.server, DATABASE, "/tmp/measure", PORT, more)]
    os.makedirs("/tmp/measure/short")
    servers.append(mariadb.Server(world.server, DATABASE, "/tmp/measure/short", SHORT_PORT,
                                  [f"--wait-timeout={WAIT_TIMEOUT}"]))
    restarting = Restarting(world.server, "/tmp/measure/restarting", RESTARTED_PORT)
    some = cases(world, restarting)
    begin = time.monotonic()
    run(some)
    for case in some:
        tell.note(row(case))
    results = [check(case.name, lambda case=case: (case.check or found)(case)) for case in some]
    results.append(check("nothing is left", lambda: nothing_left(
        world.server, some[0].netns, some[0].address)))
    messages = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    results.append(check("no kernel warning", lambda: calm(messages)))
    tell.note(f"{os.uname().release}: {time.monotonic() - begin:.0f} s of guest time")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
