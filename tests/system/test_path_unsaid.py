"""Connections whose path moves are probed also where no message about a route of theirs says so:
where a policy rule or a nexthop object changes, where messages were lost, or where the namespace
isn't linked to the daemon's.
"""

import os
import signal
import threading
import time
from typing import Iterator

import pytest

from harness.cgroup import Cgroup
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import connect_namespaces
from harness.options import held
from harness.paths import CLIENT, OTHER, PEER, Paths
from harness.sockets import Agent, Socket
from harness.wait import wait_for

SOON = 2.0
RULE = daemon_section(reconcile="600s") + rule("all", time="600s", interval="60s", probes=5)
VALUES = held(600, 60, 5)


@pytest.fixture
def paths(make_netns) -> Iterator[Paths]:
    """The two namespaces and their veth pairs."""
    made = Paths(make_netns)
    yield made
    made.close()


@pytest.fixture
def daemon(make_daemon, paths: Paths) -> Daemon:
    """A holdfastd in the server's namespace."""
    return make_daemon(netns=paths.host)


@pytest.fixture
def application(make_agent, paths: Paths, cgroup: Cgroup) -> Agent:
    """An application in the client's namespace, with a server in the host's."""
    make_agent(paths.host, None).listen(PORT)
    return make_agent(paths.client, cgroup)


def probed_once(paths: Paths, sock: Socket, *commands: str) -> None:
    """Checks that these commands have the connection probed, and once."""
    paths.settle()
    paths.client.ip(*commands)
    wait_for(lambda: paths.probes(sock), f"{commands}: a probe at once", timeout=SOON)
    wait_for(lambda: sock.settings == VALUES, "the values are back", timeout=4)
    assert len(paths.probes(sock)) == 1


def test_policy_rule(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """A policy rule that moves the path has the connection probed; later ones, only if they do."""
    paths.client.ip("route add default via 10.2.0.1 table 100")
    daemon.start(RULE)
    socks = [application.connect(peer, PORT, source=CLIENT) for peer in (PEER, OTHER)]
    probed_once(paths, socks[0], f"rule add to {PEER} lookup 100")
    paths.settle()
    paths.client.ip("rule add to 10.77.0.0/16 lookup 100", "rule del to 10.77.0.0/16 lookup 100",
                    "rule add from 10.77.0.1 lookup 100")
    # Events are handled in order, so that a probe for one of those would be there by then.
    probed_once(paths, socks[1], f"rule add to {OTHER} lookup 100")
    assert not paths.probes(socks[0])


def test_table_of_a_rule(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """A route counts in the table that a rule leads the connection's source to, and in no other."""
    paths.client.ip("route add default via 10.1.0.1 table 100", f"rule add from {CLIENT} lookup 100")
    daemon.start(RULE)
    sock = application.connect(PEER, PORT, source=CLIENT)
    probed_once(paths, sock, "route replace default via 10.2.0.1 table 100")
    probed_once(paths, sock, "route del default table 100")
    paths.settle()
    paths.client.ip(f"route add {PEER} via 10.2.0.1 table 77")
    time.sleep(0.5)
    probed_once(paths, sock, "route add default via 10.2.0.1 table 100")


@pytest.mark.parametrize("compatible", [1, 0])
def test_nexthop_object(daemon: Daemon, paths: Paths, application: Agent, compatible: int) -> None:
    """A nexthop object that is replaced has the connections of its routes probed, also where the
    kernel reports no routes then."""
    paths.client.sysctl("ipv4/nexthop_compat_mode", compatible)
    paths.client.ip("nexthop add id 1 via 10.1.0.1 dev p1", f"route replace {OTHER} nhid 1")
    daemon.start(RULE)
    sock, other = (application.connect(peer, PORT, source=CLIENT) for peer in (OTHER, PEER))
    paths.client.ip("nexthop add id 2 via 10.2.0.1 dev p2")
    wait_for(lambda: "may have moved" in daemon.log, "the ways are known")
    wait_for(lambda: sock.settings == other.settings == VALUES, "the values are back", timeout=4)
    probed_once(paths, sock, "nexthop replace id 1 via 10.2.0.1 dev p2")
    assert not paths.probes(other)


def test_namespace_that_is_not_linked(make_daemon, paths: Paths, application: Agent) -> None:
    """Changes in a namespace that no link connects with the daemon's are heard of."""
    make_daemon().start(RULE)
    sock = application.connect(PEER, PORT, source=CLIENT)
    probed_once(paths, sock, f"route replace {PEER} via 10.2.0.1")


def many_routes(workdir: str, *operations: str, count: int = 3000) -> str:
    """Returns a batch file for ip(8) with many routes over the second path."""
    name = os.path.join(workdir, "routes")
    with open(name, "w", encoding="ascii") as file:
        for operation in operations:
            file.writelines(f"route {operation} 11.{n >> 8}.{n & 255}.0/24 via 10.2.0.1\n"
                            for n in range(count))
    return name


def test_lost(daemon: Daemon, paths: Paths, application: Agent, workdir: str) -> None:
    """When messages were lost, what may have moved is probed once; the next time, what has."""
    daemon.start(RULE)
    moving, staying = (application.connect(peer, PORT, source=CLIENT) for peer in (PEER, OTHER))
    for operation, via in (("add", "10.2.0.1"), ("del", "10.1.0.1")):
        paths.settle()
        daemon.send_signal(signal.SIGSTOP)
        paths.client.run("ip", "-batch", many_routes(workdir, operation))
        paths.client.ip(f"route replace {PEER} via {via}")
        daemon.send_signal(signal.SIGCONT)
        wait_for(lambda: paths.probes(moving), "a probe at once", timeout=SOON)
        wait_for(lambda: moving.settings == staying.settings == VALUES, "the values are back",
                 timeout=4)
        assert len(paths.probes(moving)) == 1
        assert len(paths.probes(staying)) == (operation == "add")


def test_neighbour_that_floods(daemon: Daemon, paths: Paths, application: Agent, make_netns,
                               workdir: str) -> None:
    """A container that changes its routes without end delays others' probes by a second, and costs
    little CPU time."""
    neighbour = make_netns()
    connect_namespaces(paths.host, "e1", neighbour, "e1")
    neighbour.add_address("10.2.0.9/24", device="e1")
    batch = many_routes(workdir, "add", "del")
    daemon.start(RULE)
    sock = application.connect(PEER, PORT, source=CLIENT)
    paths.settle()
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            neighbour.run("ip", "-batch", batch)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        time.sleep(3)
        before, start = cpu_time(daemon.pid), time.monotonic()
        for via in ("10.2.0.1", "10.1.0.1", "10.2.0.1"):
            paths.settle()
            paths.client.ip(f"route replace {PEER} via {via}")
            wait_for(lambda: paths.probes(sock), "a probe", timeout=SOON)
            time.sleep(1.6)
        share = (cpu_time(daemon.pid) - before) / (time.monotonic() - start)
    finally:
        over.set()
        thread.join()
    print(f"{share:.1%} of a CPU")
    assert share < 0.05


def cpu_time(pid: int) -> float:
    """Returns the CPU time in seconds that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
