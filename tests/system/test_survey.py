"""The survey: one walk over the sockets of all namespaces finds where there is something to do.

A pass sweeps only the namespaces that the survey names, and `status` asks sock_diag for a few held
connections one by one where it names none. Both must have the same results as without the survey.
"""

import os
import struct
from typing import Callable, Iterator

import pytest

from harness import bpf, build, compiler, foreign, sockdiag
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.kernel import needs, needs_ipv6
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

VALUES = held(120, 30, 4)
RULE = rule("all", time="120s", interval="30s", probes=4)
# Without a guard applications can undo a setting, so that the next pass has something to do.
LOOSE = daemon_section(reconcile="1h", guard="no")
EVERY_SECOND = daemon_section(reconcile="1s", guard="no")

# A number of connections that makes long chains in a table of any size.
MANY = 3000
TODO, UNHELD = 1 << 63, 1 << 62  # HF_SURVEY_TODO, HF_SURVEY_LOOSE

pytestmark = needs("6.2", "to walk through the kernel's table of connections")


def words(daemon: Daemon) -> list[int]:
    """Returns all words of the survey."""
    with open(os.path.join(daemon.layout, "hf_survey"), "rb") as file:
        return [word for word, in struct.iter_unpack("=Q", file.read())]


def survey(daemon: Daemon, *namespaces: Netns) -> dict[Netns, int]:
    """Returns the survey's flags for these namespaces, without those that it doesn't name."""
    said = set(words(daemon))
    assert TODO not in said, "it doesn't know"
    found = {netns: sum(flag for flag in (TODO, UNHELD) if netns.inode | flag in said)
             for netns in namespaces}
    return {netns: flags for netns, flags in found.items() if flags}


@pytest.fixture
def other(make_netns: Callable[[], Netns], make_agent: Callable[..., Agent],
          cgroup: Cgroup) -> Iterator[tuple[Netns, Agent]]:
    """Another namespace and an application in it."""
    netns = make_netns()
    yield netns, make_agent(netns, cgroup)


def test_settled(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                 other: tuple[Netns, Agent]) -> None:
    """The survey names no namespace whose sockets are all as they should be or unmatched."""
    strange = other[1].listen(5432)
    pairs = [other[1].connect("127.0.0.1", strange.port), strange.accept()]
    before = agent.connect("127.0.0.1", listener.port)
    daemon.start(LOOSE + RULE)
    after = agent.connect("127.0.0.1", listener.port)
    assert [sock.settings for sock in (before, after)] == [VALUES] * 2
    assert [sock.settings for sock in pairs] == [UNTOUCHED] * 2
    assert not survey(daemon, netns, other[0])
    for sock in (before, after):
        sock.change(interval=7)
        assert survey(daemon, netns) == {netns: TODO}
        sock.change(interval=30)
        assert not survey(daemon, netns)


@pytest.mark.parametrize("undo", [{"keepalive": 0}, {"time": 7000}, {"interval": 31},
                                  {"probes": 5}, {"user_timeout": 1}], ids=str)
def test_each_option(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                     undo: dict[str, int]) -> None:
    """The survey names a namespace for each single option that differs."""
    daemon.start(LOOSE + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    assert not survey(daemon, netns)
    sock.change(**undo)
    assert survey(daemon, netns) == {netns: TODO}


@needs_ipv6
def test_ipv6(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener) -> None:
    """The survey matches IPv6 addresses, and IPv4 addresses of IPv6 sockets."""
    daemon.start(LOOSE + rule("six", "::1") + rule("four", "127.0.0.1"))
    six = agent.connect("::1", listener.port)
    mapped = agent.connect("::ffff:127.0.0.1", listener.port)
    assert six.settings.keepalive and mapped.settings.keepalive and not survey(daemon, netns)
    for sock in (six, mapped):
        sock.change(keepalive=0)
        assert survey(daemon, netns) == {netns: TODO}
        sock.change(keepalive=1)


def test_many_namespaces(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                         other: tuple[Netns, Agent]) -> None:
    """The survey names each namespace by itself, and a pass puts its sockets right."""
    there = other[1].listen(PORT)
    socks = {netns: agent.connect("127.0.0.1", listener.port),
             other[0]: other[1].connect("127.0.0.1", there.port)}
    daemon.start(LOOSE + RULE)
    for where, sock in socks.items():
        sock.change(keepalive=0)
        assert survey(daemon, *socks) == {where: TODO}
        sock.change(keepalive=1)
    for sock in socks.values():
        sock.change(keepalive=0)
    assert survey(daemon, *socks) == {where: TODO for where in socks}
    daemon.reload(EVERY_SECOND + RULE)
    for sock in socks.values():
        sock.change(probes=9)
    wait_for(lambda: all(sock.settings == VALUES for sock in socks.values()), "all are held")
    assert not survey(daemon, *socks)


def test_unheld(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                holdfast: Command, other: tuple[Netns, Agent]) -> None:
    """The survey says of matched sockets that aren't to be held that only `status` needs them."""
    there = other[1].listen(PORT)
    exempt = other[1].connect("127.0.0.2", there.port)
    closed, kept = (agent.connect("127.0.0.1", listener.port) for _ in range(2))
    listener.accept().close()
    cookie = closed.info["cookie"]

    def is_closed() -> bool:
        found = sockdiag.find(netns, cookie)
        return found is not None and found.state == sockdiag.CLOSE_WAIT

    wait_for(is_closed, "its peer has closed it")
    daemon.start(LOOSE + RULE + rule("not", "127.0.0.2", enforce="no"))
    assert survey(daemon, netns, other[0]) == {netns: UNHELD, other[0]: UNHELD}
    assert {sock["cookie"]: sock["verdict"] for sock in holdfast.status()["sockets"]} == {
        exempt.info["cookie"]: "exempt", closed.info["cookie"]: "closed",
        kept.info["cookie"]: "held"}


def test_out_of_scope(daemon: Daemon, make_agent: Callable[..., Agent], netns: Netns,
                      listener: Listener, make_cgroup: Callable[..., Cgroup]) -> None:
    """The survey says of a matched socket in another control group that no pass needs it."""
    stranger = make_agent(netns, make_cgroup())
    sock = stranger.connect("127.0.0.1", listener.port)
    daemon.start(LOOSE + RULE)
    assert sock.settings == UNTOUCHED and survey(daemon, netns) == {netns: UNHELD}
    assert "can't be held" not in daemon.log


def test_a_rule_goes(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener) -> None:
    """The survey names the namespace of a socket with a record that no rule matches any more."""
    daemon.start(LOOSE + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    sweep = os.path.join(daemon.layout, "hf_sweep")
    os.rename(sweep, sweep + "_aside")  # keeps the pass from giving back
    daemon.reload(LOOSE + rule("not", "192.0.2.1"))
    os.rename(sweep + "_aside", sweep)
    assert sock.settings == VALUES and survey(daemon, netns) == {netns: TODO}


def crowd(daemon: Daemon, agent: Agent, listener: Listener) -> list[Socket]:
    """Opens so many connections that some dozen of their ends share a bucket in a table of 2^18."""
    listener.keep_all(MANY)
    socks = agent.connect_many("127.0.0.1", listener.port, MANY)
    assert agent.settings_of(socks) == {VALUES: MANY}
    assert daemon.running
    return socks


def test_long_chains(daemon: Daemon, netns: Netns, agent: Agent, listener: Listener) -> None:
    """Sockets behind others in the same bucket are found."""
    daemon.start(LOOSE + RULE)
    for sock in crowd(daemon, agent, listener)[::100]:
        assert not survey(daemon, netns)
        sock.change(keepalive=0)
        assert survey(daemon, netns) == {netns: TODO}
        sock.change(keepalive=1)


def test_chains_too_long(daemon: Daemon, holdfast: Command, agent: Agent, listener: Listener,
                         workdir: str) -> None:
    """Where a chain is longer than the survey walks, it says so, and a pass sweeps all
    namespaces."""
    daemon.build_dir = compiler.variant("chains", build.DIRECTORY,
                                        os.path.join(workdir, "build"))
    daemon.start(EVERY_SECOND + RULE)
    socks = crowd(daemon, agent, listener)
    assert TODO in words(daemon)
    undone_and_held_again(socks[::100])
    assert {row["verdict"] for row in holdfast.status()["sockets"]} == {"held"}


@pytest.mark.parametrize("side", ["client", "server"])
def test_says_it_once(daemon: Daemon, make_agent: Callable[..., Agent], netns: Netns,
                      cgroup: Cgroup, side: str) -> None:
    """The survey names a namespace about once, however many sockets need work: its buffer is
    small."""
    agent, server = make_agent(netns, None), make_agent(netns, cgroup)
    ends = {"client": server, "server": agent}  # the other end is outside the control group
    listener = ends["server" if side == "client" else "client"].listen(PORT)
    listener.keep_all(MANY)
    ends["client" if side == "client" else "server"].connect_many("127.0.0.1", PORT, MANY)
    daemon.start(LOOSE + rule("none", "192.0.2.1"))
    sweep = os.path.join(daemon.layout, "hf_sweep")
    os.rename(sweep, sweep + "_aside")  # keeps the pass from giving back
    daemon.reload(LOOSE + RULE + f"side = {side}\n")
    os.rename(sweep + "_aside", sweep)
    said = words(daemon)
    assert netns.inode | TODO in said
    # Once for each step of the walk, or a few times where other namespaces' words come between.
    assert len(said) < MANY / 10


def test_storages_of_others(daemon: Daemon, agent: Agent, netns: Netns,
                            listener: Listener) -> None:
    """Seven socket storages of other programs don't hide holdfast's."""
    daemon.start(LOOSE + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    maps = [bpf.socket_storage(f"other_{n}") for n in range(7)]
    try:
        with foreign.borrow(agent.pid, sock.info["fd"]) as borrowed:
            for fd in maps:  # each comes before those that are there
                bpf.update(fd, struct.pack("=i", borrowed.fileno()), bytes(4))
        assert not survey(daemon, netns)
        sock.change(interval=7)
        assert survey(daemon, netns) == {netns: TODO}
    finally:
        for fd in maps:
            os.close(fd)


def test_after_a_probe(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                       holdfast: Command) -> None:
    """After a probe nothing is left to do."""
    daemon.start(LOOSE + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    result = holdfast("probe", "-J")
    assert [row["outcome"] for row in result.json["sockets"]] == ["answered"], result
    assert sock.settings == VALUES and not survey(daemon, netns)
    # A time of 1 that is set from now on is the application's, though it looks like the probe's.
    sock.change(time=1)
    daemon.stop()
    assert sock.settings == held(1, 75, 9)


@pytest.fixture(params=[64, 65536])
def apart(make_netns: Callable[[], Netns], make_agent: Callable[..., Agent], cgroup: Cgroup,
          request: pytest.FixtureRequest) -> Iterator[tuple[Netns, Agent]]:
    """A namespace with a table of connections of its own, so small that chains are long, or as
    large as one that the survey walks."""
    parent = make_netns()
    parent.sysctl("ipv4/tcp_child_ehash_entries", request.param)
    with parent.entered():
        netns = Netns()
    try:
        assert int(netns.run("cat", "/proc/sys/net/ipv4/tcp_ehash_entries")) == request.param
        yield netns, make_agent(netns, cgroup)
    finally:
        netns.close()


def undone_and_held_again(socks: list[Socket]) -> None:
    """Checks that a pass holds these sockets again after they were undone."""
    for sock in socks:
        sock.change(keepalive=0)
    wait_for(lambda: all(sock.settings == VALUES for sock in socks), "they are held again")


def test_table_of_its_own(daemon: Daemon, holdfast: Command, agent: Agent, listener: Listener,
                          apart: tuple[Netns, Agent]) -> None:
    """The survey doesn't walk another table, so a pass always sweeps its namespace, and `status`
    shows its sockets."""
    there = apart[1].listen(PORT)
    socks = [agent.connect("127.0.0.1", listener.port)]
    socks += [apart[1].connect("127.0.0.1", there.port) for _ in range(20)]
    daemon.start(EVERY_SECOND + RULE)
    assert [sock.settings for sock in socks] == [VALUES] * 21
    undone_and_held_again(socks)
    rows = holdfast.status()["sockets"]
    assert {row["cookie"] for row in rows} == {sock.info["cookie"] for sock in socks}
    assert {row["verdict"] for row in rows} == {"held"}


def test_read_in_a_table_of_its_own(daemon: Daemon, agent: Agent, listener: Listener,
                                    apart: tuple[Netns, Agent]) -> None:
    """Read in a namespace with another table, the survey says that anything may have to be done."""
    daemon.start(LOOSE + RULE)
    agent.connect("127.0.0.1", listener.port).change(keepalive=0)
    with apart[0].entered():
        assert set(words(daemon)) == {TODO}


def test_without_it(daemon: Daemon, agent: Agent, listener: Listener, holdfast: Command) -> None:
    """Without the survey a pass and `status` have the same results."""
    daemon.start(EVERY_SECOND + RULE)
    socks = [agent.connect("127.0.0.1", listener.port) for _ in range(3)]
    before = holdfast.status()["sockets"]
    os.unlink(os.path.join(daemon.layout, "hf_survey"))
    undone_and_held_again(socks)
    after = holdfast.status()["sockets"]
    steady = ("cookie", "verdict", "time", "interval", "probes", "rule", "processes", "cgroup")
    assert [[row[key] for key in steady] for row in before] == [
        [row[key] for key in steady] for row in after]


def test_bound_to_a_device(daemon: Daemon, agent: Agent, netns: Netns, listener: Listener,
                           holdfast: Command) -> None:
    """A socket bound to a device, which sock_diag doesn't find by its ends, is shown all the
    same."""
    daemon.start(LOOSE + RULE)
    plain = agent.connect("127.0.0.1", listener.port)
    bound = agent.connect("127.0.0.1", listener.port, device="lo")
    assert not survey(daemon, netns)
    assert {row["cookie"] for row in holdfast.status()["sockets"]} == {
        plain.info["cookie"], bound.info["cookie"]}


def test_gone_meanwhile(daemon: Daemon, agent: Agent, make_agent: Callable[..., Agent],
                        netns: Netns, cgroup: Cgroup, listener: Listener,
                        holdfast: Command) -> None:
    """Connections that end while `status` runs take no others from its list."""
    daemon.start(LOOSE + RULE)
    kept = agent.connect("127.0.0.1", listener.port).info["cookie"]
    others = make_agent(netns, cgroup)
    listener.serve_all()
    others.churn_start("127.0.0.1", listener.port)
    for _ in range(20):
        assert kept in {row["cookie"] for row in holdfast.status()["sockets"]}
    assert set(others.churn_stop()) == {VALUES}
