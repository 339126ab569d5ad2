"""Other programs on the same hooks: beside them, or a sentence that names who is in the way."""

from typing import Callable, Iterator

import pytest

from harness import bpf
from harness.cgroup import Cgroup
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
    """Loads somebody else's programs, let go of after the test."""
    made: list[bpf.Program] = []

    def make(kind: int, name: str = NAME) -> bpf.Program:
        made.append(bpf.Program(kind, name))
        return made[-1]

    yield make
    for program in made:
        program.close()


def assert_enforced(agent: Agent, listener: Listener) -> None:
    """Connections are held, and the guard keeps them so."""
    sock = agent.connect("127.0.0.1", listener.port)
    assert sock.settings == VALUES
    sock.change(keepalive=0, time=5000)
    assert sock.settings == VALUES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False], ids=["theirs-first", "ours-first"])
def test_beside_others(daemon: Daemon, agent: Agent, cgroup: Cgroup, listener: Listener,
                       make_program, kind: int, first: bool) -> None:
    """By link and by BPF_F_ALLOW_MULTI: all of them run, and theirs stay when we go."""
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
    """What is attached below us, in whatever way, takes nothing away from us."""
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
    """Who lets nobody else in is named, with the place; nothing is attached, or half attached."""
    target = make_cgroup("child", cgroup) if above else cgroup
    program = make_program(kind)
    program.attach(cgroup.directory, flags)
    daemon = make_daemon(target)
    application = make_agent(netns, target)
    sock = application.connect("127.0.0.1", listener.port)
    daemon.configure(RULE)
    if above and flags == bpf.F_OVERRIDE:  # this one lets others in, below
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

    # Once it is out of the way, nothing else is.
    program.detach(cgroup.directory)
    daemon.start(RULE)
    assert sock.settings == VALUES
    assert_enforced(application, listener)


def test_in_the_way_at_a_reload(daemon: Daemon, agent: Agent, cgroup: Cgroup, listener: Listener,
                                make_program) -> None:
    """Rules that come to need the guard, where it can't be attached: the old ones stay."""
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
    """Who comes later and wants to be alone is refused by the kernel."""
    daemon.start(RULE)
    for kind in (bpf.SOCK_OPS, bpf.SETSOCKOPT):
        with pytest.raises(PermissionError):
            make_program(kind).attach(cgroup.directory, flags)
    assert_enforced(agent, listener)


def test_another_holdfast(make_daemon, make_cgroup, cgroup: Cgroup) -> None:
    """Two on the same connections, each with pins of its own: the second one warns of the first.

    The second one itself, taken over by the next, isn't another one; nor is one beside it.
    """
    daemon = make_daemon()
    daemon.start(RULE)
    ours, = bpf.attached(cgroup.directory, bpf.SOCK_OPS)
    assert "another holdfast" not in daemon.log
    for place in (cgroup, make_cgroup("below", cgroup)):
        other = make_daemon(place)
        for _ in range(2):
            other.start(RULE)
            other.kill()
        other.start(RULE)
        said = [line for line in other.log.splitlines() if "another holdfast" in line]
        assert len(said) == 3, other.log
        assert all(f"program {ours}," in line and place.directory in line for line in said)
        other.stop()
    beside = make_daemon(make_cgroup())
    beside.start(RULE)
    daemon.kill()
    daemon.start(RULE)
    assert "another holdfast" not in beside.log + daemon.log


def test_another_holdfast_below(make_daemon, make_cgroup, cgroup: Cgroup) -> None:
    """The one on the host comes after the one in a container; one of a similar name isn't it."""
    first = make_cgroup("first", cgroup)
    place = make_cgroup("below", first)
    below = make_daemon(place)
    below.start(RULE)
    theirs, = bpf.attached(place.directory, bpf.SOCK_OPS)
    similar = make_daemon(make_cgroup("fir", cgroup))
    similar.start(RULE)
    daemon = make_daemon(first)
    daemon.start(RULE)
    assert f"program {theirs}," in daemon.log
    assert f"the cgroup {first.directory}, above it or below it" in daemon.log
    assert "another holdfast" not in below.log + similar.log
