"""A path that moves: held connections that go over it are probed at once, and no others.

    client ──p1── host (the daemon's namespace, and the server's)
           ──p2──
"""

import os
import re
import struct
import time
from typing import Callable

import pytest

from harness import bpf, sockdiag
from harness.capture import Capture
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import HAS_IPV6, Netns, connect_namespaces
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Socket
from harness.wait import wait_for

SOON = 2.0
DEVICES = ("p1", "p2")
RULE, VALUES = rule("all", time="600s", interval="60s", probes=5), held(600, 60, 5)
PEER, OTHER, CLIENT = "10.9.0.1", "10.9.0.2", "10.8.0.1"
PEER6, CLIENT6 = "fd09::1", "fd08::1"


class Paths:
    """Two cables between two namespaces, and a route over the first of them."""

    def __init__(self, make_netns: Callable[[], Netns]) -> None:
        self.host, self.client = make_netns(), make_netns()
        for number, device in enumerate(DEVICES, 1):
            connect_namespaces(self.host, device, self.client, device)
            self.host.add_address(f"10.{number}.0.1/24", device=device)
            self.client.add_address(f"10.{number}.0.2/24", device=device)
        for netns in (self.host, self.client):
            for name in ("all", *DEVICES):
                netns.sysctl(f"ipv4/conf/{name}/rp_filter", 0)
        self.host.add_address(PEER, OTHER)
        self.client.add_address(CLIENT)
        self.client.ip(f"route add {PEER} via 10.1.0.1", f"route add {OTHER} via 10.1.0.1",
                       "route add default via 10.2.0.1")
        self.host.ip("route add 10.8.0.0/24 via 10.1.0.2")
        if HAS_IPV6:
            for number, device in enumerate(DEVICES, 1):
                self.host.add_address(f"fd0{number}::1/64", device=device)
                self.client.add_address(f"fd0{number}::2/64", device=device)
            self.host.add_address(PEER6)
            self.client.add_address(CLIENT6)
            self.client.ip(f"route add {PEER6} via fd01::1")
            self.host.ip(f"route add {CLIENT6} via fd01::2")
        self.captures = {device: Capture(self.client, device) for device in DEVICES}

    def probes(self, sock: Socket, device: str | None = None) -> list[float]:
        """When a connection was probed, over one cable or over either.

        A probe is told by an empty segment that repeats a number: over the second cable, the
        capture has seen nothing else yet.
        """
        info = sock.info
        ends = tuple(info["local"][:2]), tuple(info["peer"][:2])
        return [p.at for name, capture in self.captures.items() if device in (None, name)
                for p in capture.flow(*ends) if p.source == ends[0] and p.size == 0
                and p.at > self.quiet_since]

    def settle(self) -> None:
        """Long enough for every connection to count as idle; what has gone before is forgotten."""
        time.sleep(1.15)
        self.quiet_since = time.monotonic()

    quiet_since = 0.0

    def close(self) -> None:
        """Stops watching."""
        for capture in self.captures.values():
            capture.close()


@pytest.fixture
def paths(make_netns):
    """The cables."""
    made = Paths(make_netns)
    yield made
    made.close()


@pytest.fixture
def daemon(make_daemon, paths: Paths) -> Daemon:
    """A holdfastd that lives where the server does."""
    return make_daemon(netns=paths.host)


@pytest.fixture
def application(make_agent, paths: Paths, cgroup: Cgroup) -> Agent:
    """It is in the client's namespace."""
    make_agent(paths.host, None).listen(PORT)
    return make_agent(paths.client, cgroup)


def moved(paths: Paths, sock: Socket, device: str, *commands: str) -> None:
    """A probe goes out over that cable soon after these commands."""
    start = time.monotonic()
    paths.client.ip(*commands)
    wait_for(lambda: paths.probes(sock, device), f"{commands}: a probe at once", timeout=SOON,
             step=0.005)
    took = paths.probes(sock, device)[0] - start
    print(f"{commands[0]}: probe after {took * 1000:.0f} ms")
    assert took < SOON


def test_routes(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """Replaced or removed: probed over the new path, once, and answered."""
    before = application.connect(PEER, PORT, source=CLIENT)
    daemon.start(RULE)
    socks = [before, application.connect(PEER, PORT, source=CLIENT)]
    replace, remove = [f"route replace {PEER} via 10.2.0.1"], [f"route del {PEER}"]
    if HAS_IPV6:
        socks.append(application.connect(PEER6, PORT, source=CLIENT6))
        replace.append(f"route replace {PEER6} via fd02::1")
        remove.append(f"route del {PEER6}")
    other = application.connect(OTHER, PORT, source=CLIENT)
    for device, commands in (("p2", replace), ("p1", remove)):
        if device == "p1":  # a less specific one, without which nothing goes any more
            paths.client.ip("route add 10.9.0.0/30 via 10.1.0.1",
                            *(["route add fd09::/64 via fd01::1"] if HAS_IPV6 else []))
        paths.settle()
        moved(paths, socks[0], device, *commands)
        wait_for(lambda d=device: all(paths.probes(s, d) for s in socks), "the others, too",
                 timeout=1)
        wait_for(lambda: all(s.settings == VALUES for s in socks), "the values are back",
                 timeout=3, step=0.05)
        assert [len(paths.probes(s)) for s in socks] == [1] * len(socks)
        assert not paths.probes(other), "its path hasn't moved"
    for sock in socks:
        diag = sockdiag.find(paths.client, sock.info["cookie"])
        assert diag and diag.unanswered == 0


def test_routes_that_do_not_matter(daemon: Daemon, paths: Paths,
                                   application: Agent) -> None:
    """Other prefixes, less specific ones, another namespace's: no probe. Nor without a rule."""
    daemon.start(RULE.replace("any", PEER))
    sock = application.connect(PEER, PORT, source=CLIENT)
    unheld = application.connect(OTHER, PORT, source=CLIENT)
    assert (sock.settings, unheld.settings) == (VALUES, UNTOUCHED)
    paths.settle()
    paths.client.ip("route add 10.9.0.0/24 via 10.2.0.1", "route add 10.0.0.0/8 via 10.2.0.1",
                    "route replace default via 10.1.0.1", f"route replace {OTHER} via 10.2.0.1",
                    "address add 10.8.0.2/32 dev lo", "address del 10.8.0.2/32 dev lo",
                    *(f"route add 10.77.{n}.0/24 via 10.2.0.1" for n in range(100)))
    paths.host.ip("route add unreachable 10.9.0.0/31", f"route add {PEER}/32 dev p1 table 77")
    # Events are answered in their order: a probe for one of those would be there by then, too.
    moved(paths, sock, "p2", f"route replace {PEER} via 10.2.0.1")
    wait_for(lambda: sock.settings == VALUES, "the values are back", timeout=4)
    assert len(paths.probes(sock)) == 1
    assert not paths.probes(unheld)


def test_own_namespace(daemon: Daemon, paths: Paths, make_agent, cgroup: Cgroup) -> None:
    """Where the daemon itself lives, too."""
    make_agent(paths.client, None).listen(PORT)
    paths.host.add_address("10.7.0.1")
    paths.client.ip("route add 10.7.0.1 via 10.1.0.1")
    daemon.start(RULE)
    sock = make_agent(paths.host, cgroup).connect(CLIENT, PORT, source="10.7.0.1")
    paths.settle()
    paths.host.ip(f"route replace {CLIENT} via 10.2.0.2")
    wait_for(lambda: paths.probes(sock, "p2"), "a probe at once", timeout=SOON)


def test_link_that_goes_down(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """Its routes go with it, without a word for each: the next best one is the path now."""
    daemon.start(RULE)
    sock = application.connect(PEER, PORT, source=CLIENT)
    paths.settle()
    moved(paths, sock, "p2", "link set p1 down")


def test_address_that_goes(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """Connections from it can't live on: the kernel begins to count at once."""
    paths.client.add_address("10.8.0.2")
    daemon.start(RULE)
    lost, kept = (application.connect(PEER, PORT, source=source)
                  for source in (CLIENT, "10.8.0.2"))
    paths.settle()

    def unanswered(sock: Socket) -> int:
        diag = sockdiag.find(paths.client, sock.info["cookie"])
        return diag.unanswered if diag else -1

    paths.client.ip(f"address del {CLIENT}/32 dev lo")
    wait_for(lambda: unanswered(lost) > 0, "a probe at once", timeout=SOON)
    assert not paths.probes(kept)


@pytest.mark.parametrize("room", [2, 0])
def test_more_than_fit_at_once(daemon: Daemon, paths: Paths, application: Agent,
                               room: int) -> None:
    """More connections than the map of those to be probed has room for: all of them, in turns.

    It holds 128 Ki, and others, who were killed, may have left some of theirs there.
    """
    daemon.start(RULE)
    socks = [application.connect(PEER, PORT, source=CLIENT) for _ in range(7)]
    targets = bpf.get(os.path.join(daemon.layout, "hf_targets"))
    try:
        entries = bpf.max_entries(next(n for kind, n in bpf.identities(targets) if kind == "map"))
        bpf.update_many(targets, [struct.pack("=Q", 1 << 63 | n) for n in range(entries - room)],
                        b"\1")
        paths.settle()
        paths.client.ip(f"route replace {PEER} via 10.2.0.1")
        for sock in socks:
            wait_for(lambda s=sock: paths.probes(s, "p2"), "a probe", timeout=15)
        wait_for(lambda: all(s.settings == VALUES for s in socks), "the values are back",
                 timeout=15, step=0.05)
        assert [len(paths.probes(s)) for s in socks] == [1] * len(socks)
        assert len(bpf.keys(targets, 8)) == (entries - room if room else 0)
    finally:
        os.close(targets)
    assert "probing after" not in daemon.log


def test_bursts(daemon: Daemon, paths: Paths, application: Agent, holdfast: Command) -> None:
    """A thousand changes cost a few probes, a hundred links a few passes, and nothing is missed."""
    daemon.start(RULE)
    socks = [application.connect(PEER, PORT, source=CLIENT) for _ in range(3)]
    paths.settle()
    paths.client.ip(*(f"route replace {PEER} via 10.{1 + n % 2}.0.1" for n in range(1, 1001)))
    for sock in socks:
        wait_for(lambda s=sock: paths.probes(s), "a probe at once", timeout=SOON)
    wait_for(lambda: all(s.settings == VALUES for s in socks), "the values are back", timeout=4)
    counts = [len(paths.probes(s)) for s in socks]
    print(f"1000 route changes: {counts} probes")
    assert all(1 <= count <= 3 for count in counts), counts

    def passes() -> int:
        return int(re.search(r"^holdfast_reconcile_duration_seconds_count (\d+)",
                             holdfast("metrics").out, re.MULTILINE)[1])

    before = passes()
    paths.client.ip(*(f"link add x{n} type veth peer name y{n}" for n in range(50)))
    wait_for(lambda: passes() > before, "a pass", timeout=3)
    paths.settle()
    moved(paths, socks[0], "p1", f"route replace {PEER} via 10.1.0.1 mtu 1400")
    print(f"100 links: {passes() - before} passes")
    assert passes() - before <= 4


def idle(netns: Netns, sock: Socket) -> float:
    """Since a packet came from the peer."""
    found = sockdiag.find(netns, sock.info["cookie"])
    assert found
    return found.idle


def test_links_of_others(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """A container comes and goes, a port leaves a bridge: nothing that is held goes over those."""
    daemon.start(RULE)
    socks = [application.connect(PEER, PORT, source=CLIENT)]
    if HAS_IPV6:
        socks.append(application.connect(PEER6, PORT, source=CLIENT6))
    paths.settle()
    since = time.monotonic()
    for n in range(3):
        paths.client.ip(f"link add c{n} type veth peer name d{n}", f"link set c{n} up",
                        f"link set d{n} up", f"address add 10.66.{n}.1/24 dev c{n}",
                        f"link set c{n} mtu 1400", f"link set c{n} down",
                        f"link set c{n} mtu 1300", f"link del c{n}")
    paths.client.ip("link add bridge0 type bridge", "link set bridge0 up",
                    "link add port type veth peer name other", "link set port master bridge0",
                    "link set port up", "link set other up", "link set port down",
                    "link del port", "link del bridge0")
    # Events are answered in their order: a probe for one of those would be there by then, too.
    paths.host.add_address("10.9.0.3")
    paths.client.ip("route add 10.9.0.3 via 10.1.0.1")
    witness = application.connect("10.9.0.3", PORT, source=CLIENT)
    time.sleep(1.15)
    moved(paths, witness, "p2", "route replace 10.9.0.3 via 10.2.0.1")
    for sock in socks:
        assert not paths.probes(sock)
        assert idle(paths.client, sock) > time.monotonic() - since - 0.5


@pytest.mark.parametrize("delete", [False, True], ids=["down", "deleted"])
def test_only_what_went_over_the_link(daemon: Daemon, paths: Paths, application: Agent,
                                      delete: bool) -> None:
    """Of two connections in a namespace the one that went over the link is probed."""
    paths.client.ip(f"route replace {OTHER} via 10.2.0.1")
    paths.host.ip("route add 10.8.0.9 via 10.2.0.2")
    paths.client.add_address("10.8.0.9")
    daemon.start(RULE)
    gone = application.connect(PEER, PORT, source=CLIENT)
    kept = application.connect(OTHER, PORT, source="10.8.0.9")
    paths.settle()
    moved(paths, gone, "p2", "link del p1" if delete else "link set p1 down")
    wait_for(lambda: gone.settings == VALUES and kept.settings == VALUES, "the values are back",
             timeout=4)
    assert not paths.probes(kept, "p2")  # p1 can't be read any more


def test_mapped_addresses(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """An IPv4 connection of an IPv6 socket goes by IPv4's routes, and from IPv4's addresses."""
    paths.client.add_address("10.8.0.3")
    daemon.start(RULE)
    by_route = application.connect(f"::ffff:{PEER}", PORT, source=f"::ffff:{CLIENT}")
    by_address = application.connect(f"::ffff:{OTHER}", PORT, source="::ffff:10.8.0.3")
    assert (by_route.settings, by_address.settings) == (VALUES, VALUES)
    paths.settle()
    paths.client.ip(f"route replace {PEER} via 10.2.0.1")
    wait_for(lambda: idle(paths.client, by_route) < 1, "a probe at once", timeout=SOON)
    paths.client.ip("address del 10.8.0.3/32 dev lo")

    def unanswered() -> int:
        found = sockdiag.find(paths.client, by_address.info["cookie"])
        return found.unanswered if found else -1

    wait_for(lambda: unanswered() > 0, "a probe at once", timeout=SOON + 2)


def test_two_prefixes_at_once(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """The longest of the changed prefixes counts, in whatever order they come."""
    daemon.start(RULE)
    socks = [application.connect(address, PORT, source=CLIENT) for address in (PEER, OTHER)]
    for order in (1, -1):
        commands = [f"route replace {PEER} via 10.{1 + (order > 0)}.0.1",
                    f"route {'replace' if order > 0 else 'del'} 10.9.0.0/24"
                    + (" via 10.2.0.1" if order > 0 else "")][::order]
        paths.settle()
        moved(paths, socks[0], "p2" if order > 0 else "p1", *commands)
        wait_for(lambda: all(s.settings == VALUES for s in socks), "the values are back",
                 timeout=4)
        assert not paths.probes(socks[1])


def test_other_namespaces_are_left_alone(daemon: Daemon, paths: Paths, application: Agent,
                                         make_netns, make_agent, cgroup: Cgroup) -> None:
    """Only the namespaces with a connection that moved are walked through, both times."""
    crowd = make_netns()
    inside = make_agent(crowd, cgroup)
    listening = make_agent(crowd, None).listen(PORT)
    daemon.start(daemon_section(reconcile="600s") + RULE)
    others = [inside.connect("127.0.0.1", listening.port) for _ in range(200)]
    sock = application.connect(PEER, PORT, source=CLIENT)
    programs = [os.path.join(daemon.layout, name) for name in ("hf_probe", "hf_sweep")]
    if not all(map(os.path.exists, programs)):
        pytest.skip("user space probes before Linux 5.15")
    paths.settle()
    with bpf.statistics():
        before = [bpf.runs(program) for program in programs]
        moved(paths, sock, "p2", f"route replace {PEER} via 10.2.0.1")
        wait_for(lambda: sock.settings == VALUES, "the values are back", timeout=4)
        wait_for(lambda: bpf.runs(programs[1]) > before[1], "the second walk", timeout=4)
        runs = [bpf.runs(program) - past for program, past in zip(programs, before)]
    print(f"runs: {runs}")
    assert max(runs) < len(others)
