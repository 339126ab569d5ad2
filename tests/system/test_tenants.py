"""Foreign programs on the same hooks: they run beside ours, or the one in the way is named."""

import os
from typing import Callable, Iterator

import pytest

from harness import bpf
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import rule
from harness.daemon import Daemon
from harness.netns import Netns
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
KINDS = [pytest.param(bpf.SOCK_OPS, id="sockops"), pytest.param(bpf.SETSOCKOPT, id="setsockopt")]
NAME = "tenant_prog"


@pytest.fixture
def make_program() -> Iterator[Callable[[int], bpf.Program]]:
    """Loads foreign programs, and unloads them after the test."""
    made: list[bpf.Program] = []

    def make(kind: int, name: str = NAME) -> bpf.Program:
        made.append(bpf.Program(kind, name))
        return made[-1]

    yield make
    for program in made:
        program.close()


def assert_enforced(agent: Agent, listener: Listener) -> None:
    """Checks that connections are held and that the guard works."""
    sock = agent.connect("127.0.0.1", listener.port)
    assert sock.settings == VALUES
    sock.change(keepalive=0, time=5000)
    assert sock.settings == VALUES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False], ids=["theirs-first", "ours-first"])
def test_beside_others(daemon: Daemon, agent: Agent, cgroup: Cgroup, listener: Listener,
                       make_program, kind: int, first: bool) -> None:
    """Programs attached by a link or with BPF_F_ALLOW_MULTI run beside ours, and stay when we
    stop."""
    linked, multi = make_program(kind, "tenant_link"), make_program(kind, "tenant_multi")
    if not first:
        daemon.start(RULE)
    linked.link(cgroup.directory)
    multi.attach(cgroup.directory, bpf.F_MULTI)
    if first:
        daemon.start(RULE)
    assert_enforced(agent, listener)
    assert len(bpf.attached(cgroup.directory, kind)) == 3
    daemon.kill()
    daemon.start(RULE)
    assert_enforced(agent, listener)
    daemon.reload(RULE + "override = never\n")
    daemon.reload(RULE)
    assert_enforced(agent, listener)
    daemon.stop()
    assert set(bpf.attached(cgroup.directory, kind)) == {linked.id, multi.id}
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [
    pytest.param(bpf.F_MULTI, id="multi"), pytest.param(bpf.F_OVERRIDE, id="override"),
    pytest.param(0, id="exclusive")])
def test_on_a_child(daemon: Daemon, make_agent, make_cgroup, netns: Netns, cgroup: Cgroup,
                    listener: Listener, make_program, kind: int, flags: int) -> None:
    """A program on a child group, however attached, takes nothing from us."""
    child = make_cgroup("child", cgroup)
    program = make_program(kind)
    program.attach(child.directory, flags)
    daemon.start(RULE)
    assert_enforced(make_agent(netns, child), listener)
    assert_enforced(make_agent(netns, cgroup), listener)
    program.detach(child.directory)
    assert_enforced(make_agent(netns, child), listener)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [
    pytest.param(bpf.F_OVERRIDE, id="override"), pytest.param(0, id="exclusive")])
@pytest.mark.parametrize("above", [False, True], ids=["same", "above"])
def test_in_the_way(make_daemon, make_agent, make_cgroup, netns: Netns, cgroup: Cgroup,
                    listener: Listener, make_program, kind: int, flags: int, above: bool) -> None:
    """A program that excludes others is named with its control group, and nothing is attached."""
    target = make_cgroup("child", cgroup) if above else cgroup
    program = make_program(kind)
    program.attach(cgroup.directory, flags)
    daemon = make_daemon(target)
    application = make_agent(netns, target)
    sock = application.connect("127.0.0.1", listener.port)
    daemon.configure(RULE)
    if above and flags == bpf.F_OVERRIDE:  # allows others on child groups
        daemon.start(RULE)
        assert_enforced(application, listener)
        return
    daemon.launch()
    assert daemon.wait() not in (0, 78)
    lines = daemon.log.splitlines()
    assert len(lines) == 1, lines
    assert f"{NAME} (id {program.id})" in lines[0], lines
    assert cgroup.directory in lines[0]
    assert sock.settings == UNTOUCHED
    assert bpf.attached(cgroup.directory, kind) == [program.id]
    for other in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
        assert bpf.attached(target.directory, other) in ([], [program.id])

    # Nothing else is in the way.
    program.detach(cgroup.directory)
    daemon.start(RULE)
    assert sock.settings == VALUES
    assert_enforced(application, listener)


def test_in_the_way_at_a_reload(daemon: Daemon, agent: Agent, cgroup: Cgroup, listener: Listener,
                                make_program) -> None:
    """A reload whose rules need the guard is refused where it can't be attached."""
    program = make_program(bpf.SETSOCKOPT)
    program.attach(cgroup.directory, 0)
    never = RULE + "override = never\n"
    daemon.start(never)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.reload(RULE.replace("120s", "60s"))
    assert daemon.running
    assert f"{NAME} (id {program.id})" in daemon.log
    assert sock.settings == agent.connect("127.0.0.1", listener.port).settings == VALUES
    program.detach(cgroup.directory)
    daemon.reload(RULE)
    assert_enforced(agent, listener)


@pytest.mark.parametrize("flags", [0, bpf.F_OVERRIDE])
def test_nobody_can_shut_us_out(daemon: Daemon, agent: Agent, cgroup: Cgroup, listener: Listener,
                                make_program, flags: int) -> None:
    """The kernel refuses programs that come later and want to exclude others."""
    daemon.start(RULE)
    for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
        with pytest.raises(PermissionError):
            make_program(kind).attach(cgroup.directory, flags)
    assert_enforced(agent, listener)


class Tenant:
    """A holdfast beside others, with its program and what it has logged of them."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.program = 0
        self._said: list[str] = []

    def start(self) -> None:
        """Starts it, and keeps what this start logs of others."""
        logged = len(self.daemon.log)
        self.daemon.start(RULE)
        self.program = bpf.pinned_link(os.path.join(self.daemon.layout, "hf_sockops")).program
        self._said = [line for line in self.daemon.log[logged:].splitlines()
                      if "another holdfast" in line]

    def check(self, place: Cgroup, *others: "Tenant") -> None:
        """Checks that in a control group exactly these programs run, and that the last start has
        warned of exactly the others."""
        assert set(bpf.effective(place.directory, bpf.SOCK_OPS)) == {
            self.program, *(other.program for other in others)}
        assert len(self._said) == len(others), self._said
        for line, other in zip(self._said, others):
            assert f"program {other.program}," in line and self.daemon.cgroup.directory in line


def test_another_holdfast(make_daemon, make_cgroup, cgroup: Cgroup) -> None:
    """The second of two daemons on the same connections warns of the first.

    Neither its own earlier instance nor a daemon on another control group counts as another one.
    """
    first = Tenant(make_daemon())
    first.start()
    first.check(cgroup)
    for place in (cgroup, make_cgroup("below", cgroup)):
        other = Tenant(make_daemon(place))
        for _ in range(3):
            other.start()
            other.check(place, first)
            other.daemon.kill()
        assert Command(other.daemon.pin_dir)("release").status == 0
    beside = Tenant(make_daemon(make_cgroup()))
    beside.start()
    beside.check(beside.daemon.cgroup)
    first.daemon.kill()
    first.start()
    first.check(cgroup)


def test_another_holdfast_below(make_daemon, make_cgroup, cgroup: Cgroup) -> None:
    """A daemon warns of another one on a child group, but not of one on a group with a similar
    name."""
    group = make_cgroup("first", cgroup)
    below = Tenant(make_daemon(make_cgroup("below", group)))
    below.start()
    below.check(below.daemon.cgroup)
    similar = Tenant(make_daemon(make_cgroup("fir", cgroup)))
    similar.start()
    similar.check(similar.daemon.cgroup)
    above = Tenant(make_daemon(group))
    above.start()
    above.check(below.daemon.cgroup, below)
    assert bpf.effective(group.directory, bpf.SOCK_OPS) == [above.program]


@pytest.mark.parametrize("place", ["same", "above", "below"])
def test_a_stranger(make_daemon, make_cgroup, cgroup: Cgroup, make_program, place: str) -> None:
    """A foreign program on the same connections isn't taken for another holdfast."""
    group = make_cgroup("group", cgroup)
    target = {"same": group, "above": cgroup}.get(place) or make_cgroup("below", group)
    program = make_program(bpf.SOCK_OPS)
    program.link(target.directory)
    daemon = make_daemon(group)
    daemon.start(RULE)
    inner = target if place == "below" else group
    assert len(bpf.effective(inner.directory, bpf.SOCK_OPS)) == 2
    assert program.id in bpf.effective(inner.directory, bpf.SOCK_OPS)
    assert "another holdfast" not in daemon.log
