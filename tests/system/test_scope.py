"""A restart with another --cgroup: sockets that it leaves out are given back, those it adds are
held."""

from typing import Callable

import pytest

from harness import bpf
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import PORT, daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener, Socket
from harness.wait import wait_for

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
ASKED = {"keepalive": 1, "time": 7000, "probes": 3}
BACK = UNTOUCHED._replace(**ASKED)


class Family:
    """A control group with two child groups, and an application in each of the three."""

    def __init__(self, make_agent: Callable[..., Agent], make_cgroup: Callable[..., Cgroup],
                 netns: Netns, cgroup: Cgroup, port: int) -> None:
        self.groups = {"all": cgroup, "one": make_cgroup("one", cgroup),
                       "other": make_cgroup("other", cgroup)}
        self._agents = {name: make_agent(netns, group) for name, group in self.groups.items()}
        self._port = port

    def connect(self) -> dict[str, Socket]:
        """Opens a connection in each control group."""
        return {name: agent.connect("127.0.0.1", self._port, **ASKED)
                for name, agent in self._agents.items()}

    def check(self, socks: dict[str, Socket], *names: str) -> None:
        """Checks that these groups' connections are held, and the others have their own
        settings."""
        seen = {name: sock.settings for name, sock in socks.items()}
        assert seen == {name: VALUES if name in names else BACK for name in self.groups}

    def hooks(self) -> dict[str, tuple[int, int]]:
        """Returns how many sockops and setsockopt programs are attached to each control group."""
        return {name: (len(bpf.attached(group.directory, bpf.SOCK_OPS)),
                       len(bpf.attached(group.directory, bpf.SETSOCKOPT)))
                for name, group in self.groups.items()}


@pytest.fixture(name="family")
def _family(make_agent: Callable[..., Agent], make_cgroup: Callable[..., Cgroup], netns: Netns,
            cgroup: Cgroup, listener: Listener) -> Family:
    return Family(make_agent, make_cgroup, netns, cgroup, listener.port)


INSIDE = {"all": ("all", "one", "other"), "one": ("one",), "other": ("other",)}


@pytest.mark.parametrize("before, after", [("all", "one"), ("one", "all"), ("one", "other")])
@pytest.mark.parametrize("guard", [True, False], ids=["guard", "no guard"])
def test_restart(daemon: Daemon, family: Family, holdfast: Command, before: str, after: str,
                 guard: bool) -> None:
    """After a restart on a narrower, wider or other control group, old and new connections, hooks
    and `status` go by that group."""
    config = RULE if guard else daemon_section(guard="no") + RULE
    daemon.cgroup = family.groups[before]
    daemon.start(config)
    rounds = [family.connect()]
    family.check(rounds[0], *INSIDE[before])
    daemon.kill()
    daemon.cgroup = family.groups[after]
    daemon.start(config)
    rounds.append(family.connect())
    inside = [sock for socks in rounds for name, sock in socks.items() if name in INSIDE[after]]
    for socks in rounds:
        family.check(socks, *INSIDE[after])
    assert family.hooks() == {name: (1, int(guard)) if name == after else (0, 0)
                              for name in family.groups}
    assert {row["cookie"] for row in holdfast.status()["sockets"]} == {
        sock.info["cookie"] for sock in inside}
    for sock in inside if guard else ():
        sock.change(keepalive=0)
        sock.change(keepalive=1)
    for socks in rounds:
        family.check(socks, *INSIDE[after])
    daemon.stop()
    for socks in rounds:
        family.check(socks)
    assert not any(any(kinds) for kinds in family.hooks().values())


def test_closed_by_the_peer(daemon: Daemon, family: Family, listener: Listener) -> None:
    """A connection that its peer has closed is given back, too."""
    daemon.cgroup = family.groups["all"]
    daemon.start(RULE)
    socks = family.connect()
    for _ in socks:
        listener.accept().close()
    daemon.kill()
    daemon.cgroup = family.groups["one"]
    daemon.start(RULE)
    family.check(socks, "one")


def test_found_by_a_later_pass(daemon: Daemon, make_agent: Callable[..., Agent], cgroup: Cgroup,
                               make_cgroup: Callable[..., Cgroup],
                               make_netns: Callable[[], Netns]) -> None:
    """A connection that couldn't be reached at the start is given back by a later pass."""
    one, other = (make_cgroup(name, cgroup) for name in ("one", "other"))
    agent = make_agent(make_netns(), other)
    listener = agent.listen(PORT)
    daemon.start(RULE)
    sock = agent.connect("127.0.0.1", listener.port, **ASKED)
    agent.park(sock, listener)
    daemon.kill()
    daemon.cgroup = one
    daemon.start(daemon_section(reconcile="1s") + RULE)
    sock, _ = agent.unpark()
    wait_for(lambda: sock.settings == BACK, "it has been given back")
