"""Links that someone detaches by force, or whose pins are removed: `status` asks the links
themselves."""

import os
import time

import pytest

from harness import bpf, kernel
from harness.cgroup import Cgroup
from harness.command import Command
from harness.config import daemon as daemon_section, rule
from harness.daemon import Daemon
from harness.options import UNTOUCHED, held
from harness.sockets import Agent, Listener
from harness.wait import wait_for

RULE, VALUES = rule("all", time="120s", interval="30s", probes=4), held(120, 30, 4)
OFTEN, SELDOM = daemon_section(reconcile="1s"), daemon_section(reconcile="1h")
AGAIN = "someone has detached the guard"


def detach(daemon: Daemon, name: str) -> None:
    """Detaches a pinned link by force; the pin stays."""
    bpf.detach(os.path.join(daemon.layout, name))


def remove(daemon: Daemon, name: str) -> None:
    """Removes a pin, and with it the link."""
    os.unlink(os.path.join(daemon.layout, name))


def guards(cgroup: Cgroup) -> int:
    """Returns how many guards are attached to the control group."""
    return len(bpf.attached(cgroup.directory, bpf.SETSOCKOPT))


def metric(holdfast: Command, name: str) -> str:
    """Returns the value of a metric."""
    line, = (line for line in holdfast("metrics").out.splitlines()
             if line.startswith(f"holdfast_{name} "))
    return line.split()[1]


@pytest.mark.parametrize("how", [detach, remove])
def test_guard_is_told(daemon: Daemon, cgroup: Cgroup, holdfast: Command, how) -> None:
    """`status` and `metrics` report at once that the guard isn't attached any more."""
    daemon.start(SELDOM + RULE)
    assert holdfast.status()["enforcement"]["guard"] and metric(holdfast, "guard_attached") == "1"
    assert "guard" not in holdfast("status").err
    how(daemon, "hf_guard")
    wait_for(lambda: not guards(cgroup), "it is detached")
    assert not holdfast.status()["enforcement"]["guard"]
    assert metric(holdfast, "guard_attached") == "0"
    result = holdfast("status")
    assert result.status == 0 and "the guard isn't attached" in result.err


def test_guard_that_nobody_wants(daemon: Daemon, holdfast: Command) -> None:
    """Where the rules don't need the guard, its absence isn't mentioned."""
    daemon.start(daemon_section(guard="no") + RULE)
    assert not holdfast.status()["enforcement"]["guard"]
    assert "guard" not in holdfast("status").err


@pytest.mark.parametrize("how", [detach, remove])
def test_guard_at_a_pass(daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
                         holdfast: Command, how) -> None:
    """The next pass attaches the guard again, and each time is logged once."""
    daemon.start(OFTEN + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    for n in (1, 2):
        how(daemon, "hf_guard")
        wait_for(lambda n=n: daemon.log.count(AGAIN) == n, "it is told")
        wait_for(lambda: guards(cgroup) == 1, "it is attached")
        sock.change(keepalive=0)
        assert sock.settings == VALUES
    assert cgroup.directory in daemon.log and holdfast.status()["enforcement"]["guard"]
    daemon.stop()
    assert not guards(cgroup)


def test_guard_at_a_reload(daemon: Daemon, cgroup: Cgroup) -> None:
    """A reload attaches the guard again, also with unchanged rules, unless the rules don't need
    it."""
    daemon.start(SELDOM + RULE)
    detach(daemon, "hf_guard")
    daemon.reload()
    assert guards(cgroup) == 1 and daemon.log.count(AGAIN) == 1
    detach(daemon, "hf_guard")
    daemon.reload(SELDOM + "guard = no\n" + RULE)
    daemon.reload(SELDOM + RULE)
    assert guards(cgroup) == 1 and daemon.log.count(AGAIN) == 1


def test_guard_at_a_start(daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup) -> None:
    """A start attaches the guard again."""
    daemon.start(SELDOM + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    daemon.kill()
    detach(daemon, "hf_guard")
    daemon.start(SELDOM + RULE)
    assert guards(cgroup) == 1
    sock.change(keepalive=0)
    assert sock.settings == VALUES


def test_guard_that_cannot_be_attached(daemon: Daemon, cgroup: Cgroup, holdfast: Command) -> None:
    """A guard that a foreign program keeps out is logged once and tried again, while all else goes
    on."""
    daemon.start(OFTEN + RULE)
    program = bpf.Program(bpf.SETSOCKOPT, "in_the_way")

    def attach() -> bool:
        detach(daemon, "hf_guard")
        try:
            program.attach(cgroup.directory, 0)
        except PermissionError:
            return False  # the daemon was faster
        return True

    def passes() -> int:
        return int(metric(holdfast, "reconcile_duration_seconds_count"))

    try:
        wait_for(attach, "someone else's is attached")
        told = daemon.log.count(AGAIN)
        wait_for(lambda: "the guard isn't as the rules want it" in daemon.log, "it is told")
        before = passes()
        wait_for(lambda: passes() > before + 1, "more passes")
        assert daemon.running and daemon.log.count("the guard isn't as the rules want it") == 1
        assert "in_the_way" in daemon.log
        program.detach(cgroup.directory)
        wait_for(lambda: guards(cgroup) == 1, "it is attached")
        assert daemon.log.count(AGAIN) == told + 1
    finally:
        program.close()


@pytest.mark.parametrize("how, word", [(detach, "detached"), (remove, "pinned")])
def test_sockops(daemon: Daemon, agent: Agent, listener: Listener, cgroup: Cgroup,
                 holdfast: Command, how, word: str) -> None:
    """Where the sockops link is lost, `status` reports it, the daemon ends, and the next one
    attaches."""
    daemon.start(OFTEN + RULE)
    sock = agent.connect("127.0.0.1", listener.port)
    how(daemon, "hf_sockops")
    result = holdfast("status")
    assert result.status == 3 and "nothing is attached" in result.err
    assert metric(holdfast, "attached") == "0"
    assert daemon.wait() == 1
    said, = (line for line in daemon.log.splitlines() if "aren't held any more" in line)
    assert word in said and "has been removed" in said or word == "detached", said
    assert sock.settings == VALUES
    assert agent.connect("127.0.0.1", listener.port).settings == UNTOUCHED
    daemon.start(OFTEN + RULE)
    assert len(bpf.attached(cgroup.directory, bpf.SOCK_OPS)) == 1
    assert agent.connect("127.0.0.1", listener.port).settings == VALUES


class Opened:
    """Keeps pinned links open for the length of a `with` block."""

    def __init__(self, daemon: Daemon, *names: str) -> None:
        self._fds = [bpf.get(os.path.join(daemon.layout, name)) for name in names]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        for fd in self._fds:
            os.close(fd)


@pytest.mark.parametrize("way", ["stop", "release"])
def test_opened_at_the_end(daemon: Daemon, cgroup: Cgroup, holdfast: Command, way: str) -> None:
    """A stop and `release` detach links that someone else has open."""
    daemon.start(RULE)
    with Opened(daemon, "hf_sockops", "hf_guard"):
        if way == "stop":
            daemon.stop()
        else:
            daemon.kill()
            assert holdfast("release").status == 0
        assert not guards(cgroup) and not bpf.attached(cgroup.directory, bpf.SOCK_OPS)


def test_opened_guard(daemon: Daemon, cgroup: Cgroup) -> None:
    """A reload and a start that don't need the guard detach it, though someone else has its link
    open."""
    for _ in range(2):
        daemon.start(RULE)
        with Opened(daemon, "hf_guard"):
            daemon.reload(daemon_section(guard="no") + RULE)
            assert not guards(cgroup)
        daemon.reload(RULE)
        assert guards(cgroup) == 1
        daemon.kill()
        with Opened(daemon, "hf_guard"):
            daemon.start(daemon_section(guard="no") + RULE)
            assert not guards(cgroup)
        daemon.kill()


def test_opened_elsewhere(daemon: Daemon, cgroup: Cgroup, make_cgroup) -> None:
    """A start on another control group detaches links that someone else has open."""
    daemon.start(RULE)
    daemon.kill()
    daemon.cgroup = make_cgroup("below", cgroup)
    with Opened(daemon, "hf_sockops", "hf_guard"):
        daemon.start(RULE)
        assert not guards(cgroup) and not bpf.attached(cgroup.directory, bpf.SOCK_OPS)
        assert guards(daemon.cgroup) == 1


@pytest.mark.skipif(kernel.version() >= (6, 12), reason="ends are told without a tracepoint")
@kernel.needs("5.11", "a tracepoint that knows held sockets")
def test_tracepoint(daemon: Daemon, agent: Agent, listener: Listener) -> None:
    """A pass attaches the tracepoint again, and ends of connections are logged as before."""
    daemon.start(OFTEN + RULE)
    remove(daemon, "hf_ended")
    wait_for(lambda: "how connections end: attached again" in daemon.log, "it is told")
    sock = agent.connect("127.0.0.1", listener.port)
    time.sleep(0.3)  # a close right after the last packet would count as an answer to a goodbye
    listener.accept().close()
    wait_for(lambda: "closed by the server" in daemon.log, "its end is told")
    sock.close()


@pytest.mark.skipif(kernel.version() >= (6, 12), reason="ends are told without a tracepoint")
@kernel.needs("5.11", "a tracepoint that knows held sockets")
def test_tracepoint_that_cannot_be_attached(daemon: Daemon) -> None:
    """A lost tracepoint ends the daemon where the program pinned beside it is lost, too."""
    daemon.start(OFTEN + RULE)
    os.rename(os.path.join(daemon.layout, "hf_owners"),
              os.path.join(daemon.layout, "hf_ended_program"))  # not a program
    remove(daemon, "hf_ended")
    assert daemon.wait() == 1
    assert "how connections end isn't told any more" in daemon.log
    daemon.start(OFTEN + RULE)
