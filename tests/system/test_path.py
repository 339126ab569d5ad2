"""When the path to held peers moves, their connections are probed at once, and no others.

client ──p1── host (the daemon's namespace, and the server's)
       ──p2──

The file is long because every kind of change has the same three namespaces.
"""

import os
import re
import struct
import time

import pytest

from harness import bpf, sockdiag
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs
from harness.netns import HAS_IPV6, Netns
from harness.options import UNTOUCHED, held
from harness.paths import CLIENT, CLIENT6, OTHER, PEER, PEER6, Paths
from harness.sockets import Agent, Socket
from harness.wait import wait_for

SOON = 2.0
RULE, VALUES = rule("all", time="600s", interval="60s", probes=5), held(600, 60, 5)


@pytest.fixture
def paths(make_netns):
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


def moved(paths: Paths, sock: Socket, device: str, *commands: str) -> None:
    """Checks that a probe goes out over a device soon after these commands."""
    start = time.monotonic()
    paths.client.ip(*commands)
    wait_for(lambda: paths.probes(sock, device), f"{commands}: a probe at once", timeout=SOON,
             step=0.005)
    took = paths.probes(sock, device)[0] - start
    print(f"{commands[0]}: probe after {took * 1000:.0f} ms")
    assert took < SOON


def test_routes(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """A replaced or removed route has its connections probed once over the new path, and no
    others."""
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
        if device == "p1":  # a less specific route, without which there would be none
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
    """Routes that aren't the path of a held connection cause no probe; unheld connections get
    none."""
    paths.host.add_address("10.9.0.5")
    paths.client.ip("route add 10.9.0.4/30 via 10.1.0.1")
    daemon.start(RULE.replace("any", f"{PEER}, 10.9.0.5"))
    sock = application.connect(PEER, PORT, source=CLIENT)
    unheld = application.connect(OTHER, PORT, source=CLIENT)
    witness = application.connect("10.9.0.5", PORT, source=CLIENT)
    assert (sock.settings, unheld.settings) == (VALUES, UNTOUCHED)
    paths.settle()
    paths.client.ip("route add 10.9.0.0/24 via 10.2.0.1", "route add 10.0.0.0/8 via 10.2.0.1",
                    "route replace default via 10.1.0.1", f"route replace {OTHER} via 10.2.0.1",
                    "address add 10.8.0.2/32 dev lo", "address del 10.8.0.2/32 dev lo",
                    *(f"route add 10.77.{n}.0/24 via 10.2.0.1" for n in range(100)))
    paths.host.ip("route add unreachable 10.9.0.0/31", f"route add {PEER}/32 dev p1 table 77")
    # Events are handled in order, so that a probe for one of those would be there by then.
    moved(paths, witness, "p2", "route replace 10.9.0.4/30 via 10.2.0.1")
    wait_for(lambda: witness.settings == VALUES, "the values are back", timeout=4)
    assert len(paths.probes(witness)) == 1
    assert not paths.probes(sock)
    assert not paths.probes(unheld)


def test_one_change_after_the_other(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """A second change of routes doesn't end the probes for the first one."""
    daemon.start(RULE)
    first = application.connect(PEER, PORT, source=CLIENT)
    second = application.connect(OTHER, PORT, source=CLIENT)
    paths.settle()
    first.send("x")  # so that its probe is due only after a second
    time.sleep(0.1)
    paths.quiet_since = time.monotonic()
    paths.client.ip(f"route replace {PEER} via 10.2.0.1")
    time.sleep(0.4)
    paths.client.ip(f"route replace {OTHER} via 10.2.0.1")
    wait_for(lambda: paths.probes(first) and paths.probes(second), "both are probed")
    wait_for(lambda: (first.settings, second.settings) == (VALUES, VALUES),
             "the values are back", timeout=4)


def test_killed_while_probing(daemon: Daemon, paths: Paths, application: Agent, holdfast: Command) -> None:
    """A daemon that is killed while it probes leaves no probe's time behind."""
    daemon.start(RULE)
    socks = [application.connect(peer, PORT, source=CLIENT) for peer in (PEER, OTHER)]
    paths.settle()
    paths.client.ip(f"route replace {PEER} via 10.2.0.1")
    wait_for(lambda: socks[0].settings.time == 1, "it is being probed", timeout=SOON, step=0.01)
    paths.client.ip(f"route replace {OTHER} via 10.2.0.1")
    wait_for(lambda: socks[1].settings.time == 1, "the other, too", timeout=SOON, step=0.01)
    daemon.kill()
    wait_for(lambda: all(s.settings == VALUES for s in socks), "the values are back", timeout=2)
    daemon.launch()
    daemon.wait_ready()
    assert [s["verdict"] for s in holdfast.status()["sockets"]] == ["held"] * len(socks)
    daemon.stop()
    assert all(s.settings == UNTOUCHED for s in socks)
    assert "held again" not in daemon.log


def test_own_namespace(daemon: Daemon, paths: Paths, make_agent, cgroup: Cgroup) -> None:
    """A change of routes in the daemon's own namespace counts, too."""
    make_agent(paths.client, None).listen(PORT)
    paths.host.add_address("10.7.0.1")
    paths.client.ip("route add 10.7.0.1 via 10.1.0.1")
    daemon.start(RULE)
    sock = make_agent(paths.host, cgroup).connect(CLIENT, PORT, source="10.7.0.1")
    paths.settle()
    paths.host.ip(f"route replace {CLIENT} via 10.2.0.2")
    wait_for(lambda: paths.probes(sock, "p2"), "a probe at once", timeout=SOON)


def test_link_that_goes_down(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """When a link goes down, connections over it are probed, though no event tells of each
    route."""
    daemon.start(RULE)
    sock = application.connect(PEER, PORT, source=CLIENT)
    paths.settle()
    moved(paths, sock, "p2", "link set p1 down")


def test_address_that_goes(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """When an address goes, connections from it are probed, and those from other addresses are
    not."""
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
    """More connections than the map of probe targets has room for are probed in turns.

    The map holds 128 Ki entries, some of which killed processes may have left.
    """
    daemon.start(RULE)
    socks = [application.connect(PEER, PORT, source=CLIENT) for _ in range(7)]
    targets = bpf.get(os.path.join(daemon.layout, "hf_targets"))
    try:
        entries = bpf.max_entries(next(n for kind, n in bpf.identities(targets) if kind == "map"))
        bpf.update_many(targets, [struct.pack("=Q", 1 << 63 | n) for n in range(entries - room)],
                        struct.pack("=I", 0))
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
    """A thousand route changes cost a connection at most three probes, a hundred links at most
    four passes."""
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
    """Returns the seconds since a packet came from the peer."""
    found = sockdiag.find(netns, sock.info["cookie"])
    assert found
    return found.idle


def test_links_of_others(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """Links that come and go, as of containers and bridges, cause no probes of unrelated
    connections."""
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
    # Events are handled in order, so that a probe for one of those would be there by then.
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
    """When a link goes, only the connection that went over it is probed."""
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
    assert not paths.probes(kept, "p2")  # p1 has gone and can't be read


@needs("5.15", "to have the kernel give back what is held, so that it can be kept from it,")
def test_rule_that_is_gone(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """A connection that is still held by a removed rule isn't probed."""
    gone_rule = RULE.replace("[rule all]", "[rule gone]").replace("any", OTHER)
    only = daemon_section(reconcile="1h") + RULE.replace("any", PEER)
    daemon.start(only + gone_rule)
    kept, gone = (application.connect(address, PORT, source=CLIENT) for address in (PEER, OTHER))
    sweep = os.path.join(daemon.layout, "hf_sweep")
    os.rename(sweep, sweep + "_aside")  # keeps the reload from giving back
    daemon.reload(only)
    assert kept.settings == gone.settings == VALUES
    os.rename(sweep + "_aside", sweep)  # the next pass would give back, but comes in an hour
    paths.settle()
    moved(paths, kept, "p2", f"route replace {OTHER} via 10.2.0.1",
          f"route replace {PEER} via 10.2.0.1")
    time.sleep(0.2)
    assert not paths.probes(gone)


def test_mapped_addresses(daemon: Daemon, paths: Paths, application: Agent) -> None:
    """An IPv4 connection of an IPv6 socket is probed when IPv4's routes or addresses change."""
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
    """The longest of the changed prefixes counts, in whatever order the changes come."""
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
    """A probe walks only the namespaces with a connection whose path moved, at begin and end."""
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
