"""`window = auto`: a rule finds out after how long its path forgets a connection.

Times are scaled: the rule's time is 16 s, so that the first shorter one is 15 s.
"""

import os
import time
from typing import Callable, Iterator

import pytest

from harness import bpf
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import held
from harness.sockets import Agent, Listener, Socket
from harness.topology import SERVER, Topology
from harness.wait import wait_for

pytestmark = pytest.mark.waits(first=True)

TIME, FORGOTTEN = 16, 10
AUTO = daemon_section(reconcile="1s") + rule("path", time=f"{TIME}s", interval="1s", probes=2)
BEFORE, AFTER = held(TIME, 1, 2), held(15, 1, 2)
TEXT_HASH = 8  # bytes at the start of a value of hf_windows, which tell the rule's text
PATIENCE = 45  # seconds


@pytest.fixture(name="make_topology")
def topologies() -> Iterator[Callable[[int], Topology]]:
    """Makes firewalls that forget after so many seconds."""
    made: list[Topology] = []

    def make(window: int) -> Topology:
        made.append(Topology(window))
        return made[-1]

    yield make
    for topology in made:
        topology.close()


class Path:
    """A client and a server on both sides of a firewall."""

    def __init__(self, topology: Topology, make_agent: Callable[..., Agent],
                 cgroup: Cgroup) -> None:
        self.topology = topology
        self.client = make_agent(topology.add_client(), cgroup)
        self.listener: Listener = make_agent(topology.server, None).listen(PORT)
        self.accepted: list[Socket] = []

    def connect(self) -> Socket:
        """Opens a connection through the firewall."""
        sock = self.client.connect(SERVER["inet"], PORT)
        self.accepted.append(self.listener.accept())
        return sock


def wait_lost(*socks: Socket) -> None:
    """Waits until the kernel has given up on all of these connections."""
    for sock in socks:
        wait_for(lambda: sock.error, "the end of a connection", PATIENCE)  # pylint: disable=cell-var-from-loop


def the_rule(holdfast: Command) -> dict:
    """Returns the rule as `status -J` shows it."""
    [found] = holdfast.status()["rules"]
    return found


def test_learns(make_topology: Callable[[int], Topology], make_agent: Callable[..., Agent],
                cgroup: Cgroup, daemon: Daemon, holdfast: Command) -> None:
    """A rule shortens its time after two connections were forgotten and their server took a new
    one; open connections follow. A restart keeps that, another text of the rule drops it."""
    path = Path(make_topology(FORGOTTEN), make_agent, cgroup)
    daemon.start(AUTO)
    shown = the_rule(holdfast)
    assert shown["window"] is None and shown["window_auto"] is True
    assert shown["path"] == {"survived": None, "survived_count": 0, "forgotten": None,
                             "forgotten_count": 0, "host": None}
    lost = [path.connect(), path.connect()]
    assert {sock.settings for sock in lost} == {BEFORE}
    wait_lost(*lost)
    assert "keepalive time is 15 s" not in daemon.log
    third = path.connect()
    wait_for(lambda: third.settings == AFTER, "a shorter time")
    assert path.connect().settings == AFTER
    assert daemon.log.count("rule path: the path forgets connections that idle for") == 1
    shown = the_rule(holdfast)
    assert shown["time"] == 15 and shown["path"]["forgotten_count"] == 2
    assert TIME <= shown["path"]["forgotten"] < TIME * 1.25 + 1
    [sock] = holdfast.status("path")["sockets"][:1]
    assert sock["window"] is None and sock["margin"] is None and sock["verdict"] == "held"

    daemon.kill()
    daemon.start()
    assert path.connect().settings == AFTER
    assert the_rule(holdfast)["path"]["forgotten_count"] == 2
    daemon.reload(AUTO.replace("probes = 2", "probes = 3"))
    assert path.connect().settings == held(TIME, 1, 3)
    assert third.settings == held(TIME, 1, 3)
    assert the_rule(holdfast)["path"]["forgotten_count"] == 0


def test_outage(make_topology: Callable[[int], Topology], make_agent: Callable[..., Agent],
                cgroup: Cgroup, daemon: Daemon, holdfast: Command) -> None:
    """Where a gap of the rule's time was survived before, an outage teaches nothing."""
    topology = make_topology(3600)
    path = Path(topology, make_agent, cgroup)
    daemon.start(AUTO)
    lost = [path.connect(), path.connect()]
    wait_for(lambda: the_rule(holdfast)["path"]["survived_count"] >= 2, "answers", PATIENCE, 0.5)
    assert TIME <= the_rule(holdfast)["path"]["survived"] < TIME * 1.25 + 1
    topology.firewall.nft("table inet outage {\nchain forward {\n"
                          "type filter hook forward priority -1; policy drop;\n}\n}")
    wait_lost(*lost)
    topology.firewall.nft("delete table inet outage")
    again = path.connect()
    wait_for(lambda: the_rule(holdfast)["path"]["forgotten_count"] >= 2, "the losses")
    time.sleep(3)  # looks of three passes
    assert again.settings == BEFORE
    assert "the path forgets" not in daemon.log


def test_damaged(make_topology: Callable[[int], Topology], make_agent: Callable[..., Agent],
                 cgroup: Cgroup, daemon: Daemon, holdfast: Command) -> None:
    """What was pinned and can't be true is neither shown nor taken over, and is told once."""
    path = Path(make_topology(3600), make_agent, cgroup)
    daemon.start(AUTO)
    sock = path.connect()
    wait_for(lambda: the_rule(holdfast)["path"]["survived_count"], "an answer", PATIENCE, 0.5)
    daemon.kill()
    pinned = bpf.get(os.path.join(daemon.layout, "hf_windows"))
    try:
        [key] = bpf.keys(pinned, 8)
        value = bytearray(bpf.lookup(pinned, key, bpf.value_size(pinned)))
        value[TEXT_HASH:] = b"\xff" * (len(value) - TEXT_HASH)
        bpf.update(pinned, key, bytes(value))
    finally:
        os.close(pinned)
    nothing = {"survived": None, "survived_count": 0, "forgotten": None, "forgotten_count": 0,
               "host": None}
    assert the_rule(holdfast)["path"] == nothing
    daemon.start()
    assert sock.settings == BEFORE and path.connect().settings == BEFORE
    assert daemon.log.count("rule path: what was pinned of its path is damaged") == 1
    wait_for(lambda: the_rule(holdfast)["path"]["survived_count"], "it learns", PATIENCE, 0.5)
    daemon.kill()
    daemon.start()
    assert daemon.log.count("is damaged") == 1
    assert the_rule(holdfast)["path"]["survived_count"]


def test_own_window(make_topology: Callable[[int], Topology], make_agent: Callable[..., Agent],
                    cgroup: Cgroup, daemon: Daemon) -> None:
    """A rule with a window of its own keeps its time, and is warned once that it is too long."""
    path = Path(make_topology(FORGOTTEN), make_agent, cgroup)
    daemon.start(AUTO.replace("interval", "window = 60s\ninterval"))
    wait_lost(path.connect(), path.connect())
    third = path.connect()
    wait_for(lambda: "rule path says window = 1min, but the path forgets" in daemon.log,
             "the warning")
    assert third.settings == BEFORE
